/* api_token.delete */
-- Delete a tenant's token by its secret.
--
-- Served by api_token_token_digest_key.
-- returns: count
-- index: api_token_token_digest_key

DELETE FROM conversation_store.api_token AS t
WHERE t.token_digest = :token_digest::bytea
    AND t.tenant_id = :tenant_id::text;
