/* conversation.delete_by_ids */
-- Delete conversations with everything in them.
--
-- With a dialog only those that are in it. Rows are locked in order of the ids, so that two
-- such statements never wait for each other in a circle. Served by conversation_pkey.
-- returns: count
-- plan: custom
-- index: conversation_pkey

WITH locked AS MATERIALIZED (
    SELECT c.id
    FROM conversation_store.conversation AS c
    -- Planned for its actual values: a generic plan would read a whole tenant of average size for
    -- a list of ids, and so a large one.
    WHERE (:tenant_id::text IS NOT NULL OR conversation_store.force_custom_plan(c.id))
        AND c.id = ANY(:ids::text[])
        AND c.tenant_id = :tenant_id::text
        AND coalesce(c.dialog_id = :dialog_id::text, TRUE)
    ORDER BY c.id
    FOR UPDATE
)

DELETE FROM conversation_store.conversation AS c
WHERE c.tenant_id = :tenant_id::text
    -- Not a join: where many tenants have the same ids the planner expects many rows, and would
    -- read the whole tenant to join them.
    AND c.id = ANY(ARRAY(SELECT l.id FROM locked AS l));
