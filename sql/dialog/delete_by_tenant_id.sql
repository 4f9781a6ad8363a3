/* dialog.delete_by_tenant_id */
-- Delete a batch of a tenant's dialogs that have no conversations.
--
-- A dialog that still has one is found and not deleted. Rows are locked in order of the
-- ids. Served by dialog_tenant_id_id_idx and conversation_tenant_id_dialog_id_create_date_id_idx.
-- returns: one

WITH batch AS MATERIALIZED (
    SELECT
        d.id,
        EXISTS(
            SELECT 1
            FROM conversation_store.conversation AS c
            WHERE c.tenant_id = :tenant_id::text
                AND c.dialog_id = d.id
        ) AS has_conversations
    FROM conversation_store.dialog AS d
    WHERE d.tenant_id = :tenant_id::text
    ORDER BY d.id
    LIMIT :limit::bigint
),

locked AS MATERIALIZED (
    SELECT d.id
    FROM conversation_store.dialog AS d
    WHERE d.tenant_id = :tenant_id::text
        AND d.id = ANY(ARRAY(
            SELECT b.id FROM batch AS b
            WHERE NOT b.has_conversations
        ))
    ORDER BY d.id
    FOR UPDATE
),

deleted AS (
    DELETE FROM conversation_store.dialog AS d
    USING locked AS l
    WHERE d.tenant_id = :tenant_id::text
        AND d.id = l.id
    RETURNING d.id
)

SELECT
    (SELECT count(*) FROM deleted) AS deleted,
    (SELECT count(*) FROM batch) AS found;
