/* api_token.delete_by_tenant_id */
-- Delete every token of a tenant.
--
-- Run until nothing is left: a statement that waits for a rotation does not see the
-- successor. Served by api_token_tenant_id_dialog_id_idx. Not in batches: a tenant has a
-- handful of tokens, and none of them may work any more.
-- returns: count
-- index: api_token_tenant_id_dialog_id_idx

DELETE FROM conversation_store.api_token AS t
WHERE t.tenant_id = :tenant_id::text;
