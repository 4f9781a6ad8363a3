/* api_token.delete_by_id */
-- Delete a tenant's token by its id.
--
-- An id is no secret, so the tenant is asked for. Served by api_token_pkey.
-- returns: count
-- index: api_token_pkey

DELETE FROM conversation_store.api_token AS t
WHERE t.id = :id::bigint
    AND t.tenant_id = :tenant_id::text;
