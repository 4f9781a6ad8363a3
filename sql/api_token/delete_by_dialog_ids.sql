/* api_token.delete_by_dialog_ids */
-- Delete the tokens that are bound to some dialogs of a tenant.
--
-- Run after the dialogs are deleted, in the same transaction. Where their foreign key has
-- deleted the tokens already, none is left. Served by api_token_tenant_id_dialog_id_idx.
-- returns: count
-- index: api_token_tenant_id_dialog_id_idx

DELETE FROM conversation_store.api_token AS t
WHERE t.tenant_id = :tenant_id::text
    AND t.dialog_id = ANY(:ids::text[]);
