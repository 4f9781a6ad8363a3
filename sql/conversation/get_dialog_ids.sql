/* conversation.get_dialog_ids */
-- Return the dialog of each of these conversations.
--
-- Served by conversation_pkey.
-- returns: many
-- plan: custom
-- index: conversation_pkey

SELECT
    c.id,
    c.dialog_id
FROM conversation_store.conversation AS c
-- Planned for its actual values: a generic plan would read a whole tenant of average size for
-- a list of ids, and so a large one.
WHERE (:tenant_id::text IS NOT NULL OR conversation_store.force_custom_plan(c.id))
    AND c.id = ANY(:ids::text[])
    AND c.tenant_id = :tenant_id::text
ORDER BY c.id;
