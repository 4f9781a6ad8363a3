/* dialog.query */
-- Return a tenant's dialogs, newest first.
--
-- Served by dialog_tenant_id_id_idx, then sorted: a tenant has tens of dialogs.
-- returns: many
-- plan: custom
-- index: dialog_tenant_id_id_idx
-- sorts: the dialogs of the tenant, newest first, which no index has

SELECT
    d.id,
    d.tenant_id,
    d.name,
    d.create_date,
    d.update_date
FROM conversation_store.dialog AS d
-- Planned for its actual values, see conversation/get_list.sql.
WHERE (:limit::bigint IS NOT NULL OR conversation_store.force_custom_plan(d.id))
    AND d.tenant_id = :tenant_id::text
ORDER BY
    d.create_date DESC,
    d.id DESC
LIMIT :limit::bigint;
