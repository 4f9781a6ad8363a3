/* dialog.reimport */
-- Give a dialog the name and the date of its change that it has where it is imported from.
--
-- For an import that takes it again: only where it is as the import has found it. Served by
-- dialog_pkey or dialog_tenant_id_id_idx.
-- returns: count
-- index: dialog_pkey or dialog_tenant_id_id_idx

UPDATE conversation_store.dialog AS d
SET
    name = :name::text,
    update_date = :update_date::timestamptz
WHERE d.id = :id::text
    AND d.tenant_id = :tenant_id::text
    AND d.update_date = :found_update_date::timestamptz;
