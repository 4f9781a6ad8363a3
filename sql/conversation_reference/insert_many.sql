/* conversation_reference.insert_many */
-- Load the reference entries of conversations.
--
-- Positions from 1, or 0 for a value that is not a list.
-- returns: count

COPY conversation_store.conversation_reference (
    conversation_id,
    position,
    tenant_id,
    body
) FROM STDIN;
