/* dialog.iter */
-- List one page of a walk over any number of dialogs, in order of the ids.
--
-- :after_id is '' for the first page. Without a tenant a range of dialog_pkey, with one of
-- dialog_tenant_id_id_key.
-- returns: many
-- plan: custom

SELECT
    d.id,
    d.tenant_id,
    d.name,
    d.create_date,
    d.update_date
FROM conversation_store.dialog AS d
-- Planned for its actual values, see conversation/get_list.sql.
WHERE (:limit::bigint IS NOT NULL OR conversation_store.force_custom_plan(d.id))
    AND d.id > :after_id::text
    AND (:tenant_id::text IS NULL OR d.tenant_id = :tenant_id::text)
    AND (:id::text IS NULL OR d.id = :id::text)
ORDER BY d.id
LIMIT :limit::bigint;
