/* conversation.delete_by_id */
-- Delete a conversation with everything in it.
--
-- Served by conversation_pkey; its entries go by their foreign keys.
-- returns: count
-- index: conversation_pkey

DELETE FROM conversation_store.conversation AS c
WHERE c.id = :id::text
    AND c.tenant_id = :tenant_id::text
    AND coalesce(c.dialog_id = :dialog_id::text, TRUE);
