/* dialog.get_by_ids */
-- Return the dialogs with these ids, in order of the ids.
--
-- Served by dialog_pkey or dialog_tenant_id_id_idx.
-- returns: many
-- index: dialog_pkey or dialog_tenant_id_id_idx

SELECT
    d.id,
    d.tenant_id,
    d.name,
    d.create_date,
    d.update_date
FROM conversation_store.dialog AS d
WHERE d.id = ANY(:ids::text[])
    AND d.tenant_id = :tenant_id::text
ORDER BY d.id;
