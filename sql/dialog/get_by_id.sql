/* dialog.get_by_id */
-- Return the dialog with this id.
--
-- Served by dialog_pkey or dialog_tenant_id_id_idx.
-- returns: optional
-- index: dialog_pkey or dialog_tenant_id_id_idx

SELECT
    d.id,
    d.tenant_id,
    d.name,
    d.create_date,
    d.update_date
FROM conversation_store.dialog AS d
WHERE d.id = :id::text
    AND d.tenant_id = :tenant_id::text;
