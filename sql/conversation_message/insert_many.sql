/* conversation_message.insert_many */
-- Load the message entries of conversations.
--
-- Positions from 1; a value that is not a list is at position 1.
-- returns: count
-- index: none

COPY conversation_store.conversation_message (
    conversation_id,
    position,
    tenant_id,
    dialog_id,
    body
) FROM STDIN;
