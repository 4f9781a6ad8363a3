/* conversation_message.insert_many */
-- Load the message entries of conversations.
--
-- Positions from 1, or 0 for a value that is not a list.
-- returns: count

COPY conversation_store.conversation_message (
    conversation_id,
    position,
    tenant_id,
    dialog_id,
    body
) FROM STDIN;
