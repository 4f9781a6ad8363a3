/* api_token.revoke */
-- Revoke a tenant's token for good.
--
-- The row stays, for lists to show. A state and not a time to compare with: no clock brings
-- it back. Served by api_token_pkey.
-- returns: count
-- index: api_token_pkey

UPDATE conversation_store.api_token AS t
SET
    update_date = statement_timestamp(),
    revoke_date = statement_timestamp()
WHERE t.id = :id::bigint
    AND t.tenant_id = :tenant_id::text
    AND t.revoke_date IS NULL;
