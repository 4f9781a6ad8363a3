/* conversation.delete_by_dialog_ids */
-- Delete a batch of the conversations of some dialogs.
--
-- Any of them: of each dialog a range of conversation_tenant_id_dialog_id_create_date_id_idx or
-- its twin for update_date.
-- Returns how many were deleted and how many were found: another who deletes the same leaves
-- fewer to delete, but the end is where none are found.
-- returns: one

WITH batch AS MATERIALIZED (
    SELECT c.id
    FROM conversation_store.dialog AS d
    INNER JOIN conversation_store.conversation AS c
        ON d.tenant_id = c.tenant_id AND d.id = c.dialog_id
    WHERE d.id = ANY(:ids::text[])
    LIMIT :limit::bigint
),

-- Locked in order of the ids, so that two such statements never wait for each other in a circle.
locked AS MATERIALIZED (
    SELECT c.id
    FROM conversation_store.conversation AS c
    INNER JOIN batch AS b ON c.id = b.id
    ORDER BY c.id
    FOR UPDATE OF c
),

deleted AS (
    DELETE FROM conversation_store.conversation AS c
    USING locked AS l
    WHERE c.id = l.id
    RETURNING c.id
)

SELECT
    (SELECT count(*) FROM deleted) AS deleted,
    (SELECT count(*) FROM batch) AS found;
