/* dialog.delete_by_tenant_id */
-- Delete a batch of a tenant's dialogs that have no conversations.
--
-- A dialog that still has one is found and not deleted. Rows are locked in order of the
-- ids. Served by dialog_tenant_id_id_idx and conversation_dialog_id_tenant_id_create_date_id_idx.
-- returns: one
-- plan: custom
-- index: dialog_tenant_id_id_idx, conversation_dialog_id_tenant_id_create_date_id_idx or
--   conversation_dialog_id_tenant_id_update_date_id_idx

WITH batch AS MATERIALIZED (
    SELECT
        d.id,
        c.id IS NOT NULL AS has_conversations
    FROM conversation_store.dialog AS d
    -- Not EXISTS, for which the planner may read all conversations of the tenant into a hash.
    LEFT JOIN
        LATERAL (
            SELECT o.id
            FROM conversation_store.conversation AS o
            WHERE o.tenant_id = :tenant_id::text
                AND o.dialog_id = d.id
            -- In order of the index: with a limit alone the planner may scan the table for the first.
            ORDER BY
                o.create_date DESC,
                o.id DESC
            LIMIT 1
        ) AS c
        ON TRUE
    -- Planned for its actual values, see conversation/get_list.sql.
    WHERE (:limit::bigint IS NOT NULL OR conversation_store.force_custom_plan(d.id))
        AND d.tenant_id = :tenant_id::text
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
    WHERE d.tenant_id = :tenant_id::text
        -- Not a join, see conversation/delete_by_ids.sql.
        AND d.id = ANY(ARRAY(SELECT l.id FROM locked AS l))
    RETURNING d.id
)

SELECT
    (SELECT count(*) FROM deleted) AS deleted,
    (SELECT count(*) FROM batch) AS found;
