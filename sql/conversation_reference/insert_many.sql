/* conversation_reference.insert_many */
-- Load the reference entries of conversations.
--
-- Positions from 1; a value that is not a list is at position 1.
-- returns: count
-- index: none

COPY conversation_store.conversation_reference (
    conversation_id,
    position,
    tenant_id,
    body
) FROM STDIN;
