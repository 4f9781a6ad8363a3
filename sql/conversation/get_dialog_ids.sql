/* conversation.get_dialog_ids */
-- Return the dialog of each of these conversations.
--
-- Served by conversation_pkey.
-- returns: many

SELECT
    c.id,
    c.dialog_id
FROM conversation_store.conversation AS c
WHERE c.id = ANY(:ids::text[])
ORDER BY c.id;
