/* dialog.update_by_id */
-- Change the name of a dialog.
--
-- :changes holds them, NULL included. Served by dialog_pkey or dialog_tenant_id_id_idx.
-- returns: count
-- index: dialog_pkey or dialog_tenant_id_id_idx

UPDATE conversation_store.dialog AS d
SET
    name = CASE
        WHEN :changes::jsonb ? 'name' THEN :changes::jsonb ->> 'name'
        ELSE d.name
    END,
    update_date = now()
WHERE d.id = :id::text
    AND d.tenant_id = :tenant_id::text;
