/* conversation.get_dialog_ids */
-- Return which of these conversations there are, and the dialog of each.
--
-- Served by conversation_pkey.
-- returns: many

SELECT
    c.id,
    c.dialog_id
FROM conversation_store.conversation AS c
WHERE c.id = ANY(:ids::text[])
ORDER BY c.id;
