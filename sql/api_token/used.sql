/* api_token.used */
-- Stamp the use of a token.
--
-- One row by api_token_token_digest_key; the stamp touches no indexed column.
-- returns: count

UPDATE conversation_store.api_token AS t
SET update_date = now()
WHERE t.token_digest = :token_digest::bytea;
