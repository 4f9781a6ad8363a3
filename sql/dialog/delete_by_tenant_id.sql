/* dialog.delete_by_tenant_id */
-- Delete a batch of a tenant's dialogs that have no conversations.
--
-- A dialog that still has one is passed over. Rows are locked in order of the ids. Served by
-- dialog_tenant_id_id_key and conversation_tenant_id_dialog_id_create_date_id_idx.
-- returns: count

WITH locked AS MATERIALIZED (
    SELECT d.id
    FROM conversation_store.dialog AS d
    WHERE d.tenant_id = :tenant_id::text
        AND NOT EXISTS (
            SELECT 1
            FROM conversation_store.conversation AS c
            WHERE c.tenant_id = d.tenant_id
                AND c.dialog_id = d.id
        )
    ORDER BY d.id
    LIMIT :limit::bigint
    FOR UPDATE
)

DELETE FROM conversation_store.dialog AS d
USING locked AS l
WHERE d.id = l.id;
