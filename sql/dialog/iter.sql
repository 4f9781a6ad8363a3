/* dialog.iter */
-- List one page of a tenant's dialogs, in order of the ids.
--
-- :after_id is '' for the first page. A range of dialog_tenant_id_id_idx.
-- returns: many
-- plan: custom
-- index: dialog_tenant_id_id_idx

SELECT
    d.id,
    d.tenant_id,
    d.name,
    d.create_date,
    d.update_date
FROM conversation_store.dialog AS d
-- Planned for its actual values: a generic plan would allow for any :id, and sort the tenant.
WHERE (:limit::bigint IS NOT NULL OR conversation_store.force_custom_plan(d.id))
    AND d.tenant_id = :tenant_id::text
    AND d.id > :after_id::text
    AND (:id::text IS NULL OR d.id = :id::text)
ORDER BY d.id
LIMIT :limit::bigint;
