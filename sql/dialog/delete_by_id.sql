/* dialog.delete_by_id */
-- Delete a dialog without conversations, with the tokens bound to it.
--
-- While there are conversations it is their foreign key's error. Served by dialog_pkey or
-- dialog_tenant_id_id_idx.
-- returns: count
-- index: dialog_pkey or dialog_tenant_id_id_idx

DELETE FROM conversation_store.dialog AS d
WHERE d.id = :id::text
    AND d.tenant_id = :tenant_id::text;
