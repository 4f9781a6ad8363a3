/* conversation.delete_by_ids */
-- Delete conversations with everything in them.
--
-- With a dialog or a tenant only those that are theirs. Rows are locked in order of the ids, so that two such
-- statements never wait for each other in a circle. Served by conversation_pkey.
-- returns: count

WITH locked AS MATERIALIZED (
    SELECT c.id
    FROM conversation_store.conversation AS c
    WHERE c.id = ANY(:ids::text[])
        AND (:dialog_id::text IS NULL OR c.dialog_id = :dialog_id::text)
        AND (:tenant_id::text IS NULL OR c.tenant_id = :tenant_id::text)
    ORDER BY c.id
    FOR UPDATE
)

DELETE FROM conversation_store.conversation AS c
USING locked AS l
WHERE c.id = l.id;
