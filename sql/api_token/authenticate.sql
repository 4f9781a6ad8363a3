/* api_token.authenticate */
-- Return the token with this digest and stamp its use.
--
-- One row by api_token_token_digest_key; the stamp touches no indexed column.
-- returns: optional

UPDATE conversation_store.api_token AS t
SET update_date = now()
WHERE t.token_digest = :token_digest::bytea
RETURNING
    t.id,
    t.tenant_id,
    t.hint,
    t.dialog_id,
    t.source,
    t.beta,
    t.create_date,
    t.update_date;
