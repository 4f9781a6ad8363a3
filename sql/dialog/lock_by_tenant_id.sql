/* dialog.lock_by_tenant_id */
-- Lock every dialog of a tenant, and return how many there are.
--
-- Run before a deletion of the tenant in a transaction, which keeps the locks: what deletes a dialog
-- locks it before its conversations and tokens. Rows are locked in order of the ids. Served
-- by dialog_tenant_id_id_idx.
-- returns: one
-- index: dialog_tenant_id_id_idx

WITH locked AS MATERIALIZED (
    SELECT d.id
    FROM conversation_store.dialog AS d
    WHERE d.tenant_id = :tenant_id::text
    ORDER BY d.id
    FOR UPDATE
)

SELECT count(*) AS dialogs
FROM locked;
