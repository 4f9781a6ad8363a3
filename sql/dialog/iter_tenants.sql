/* dialog.iter_tenants */
-- List one page of the tenants that have dialogs, in order of their ids.
--
-- For walks over the whole store, which go from tenant to tenant. :after_tenant_id is '' for
-- the first page. A range of dialog_tenant_id_id_idx.
-- returns: many
-- tenants: all, since the whole store is walked over
-- index: dialog_tenant_id_id_idx

SELECT DISTINCT d.tenant_id
FROM conversation_store.dialog AS d
WHERE d.tenant_id > :after_tenant_id::text
ORDER BY d.tenant_id
LIMIT :limit::bigint;
