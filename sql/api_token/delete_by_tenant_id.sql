/* api_token.delete_by_tenant_id */
-- Delete every token of a tenant.
--
-- Served by api_token_tenant_id_dialog_id_idx. Not in batches: a tenant has a handful of
-- tokens, and after this statement none of them may work.
-- returns: count

DELETE FROM conversation_store.api_token AS t
WHERE t.tenant_id = :tenant_id::text;
