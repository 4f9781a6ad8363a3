/* conversation.delete_by_tenant_id */
-- Delete a batch of a tenant's conversations.
--
-- Any of them, by conversation_tenant_id_dialog_id_idx; the limit ends the scan.
-- Returns how many were deleted and how many were found: another who deletes the same leaves
-- fewer to delete, but the end is where none are found.
-- returns: one
-- plan: custom
-- index: conversation_tenant_id_dialog_id_idx, conversation_pkey
-- scans: conversation, since any rows of a tenant that has most of them are a batch

WITH batch AS MATERIALIZED (
    SELECT c.id
    FROM conversation_store.conversation AS c
    WHERE c.tenant_id = :tenant_id::text
        -- No id is empty: the condition of the index, see count.sql.
        AND (c.id <> '') IS TRUE
    LIMIT :limit::bigint
),

-- Locked in order of the ids, so that two such statements never wait for each other in a circle.
locked AS MATERIALIZED (
    SELECT c.id
    FROM conversation_store.conversation AS c
    -- Planned for its actual values: a generic plan would read a whole tenant of average size for
    -- a list of ids, and so a large one.
    WHERE (:tenant_id::text IS NOT NULL OR conversation_store.force_custom_plan(c.id))
        AND c.tenant_id = :tenant_id::text
        AND c.id = ANY(ARRAY(SELECT b.id FROM batch AS b))
    ORDER BY c.id
    FOR UPDATE
),

deleted AS (
    DELETE FROM conversation_store.conversation AS c
    WHERE c.tenant_id = :tenant_id::text
        -- Not a join, see delete_by_ids.sql.
        AND c.id = ANY(ARRAY(SELECT l.id FROM locked AS l))
    RETURNING c.id
)

SELECT
    (SELECT count(*) FROM deleted) AS deleted,
    (SELECT count(*) FROM batch) AS found;
