/* doctor.pending_messages */
-- Look for a pair that no message has, by conversation_message_search_idx.
--
-- It is explained with its buffers and finds nothing: what it reads of the index is the pending list,
-- which every search reads from end to end, and the few pages on the way to a key.
--
-- returns: count
SELECT FROM conversation_store.conversation_message AS m
WHERE
    conversation_store.search_keys(m.tenant_id, m.dialog_id, conversation_store.message_text(m.body))
    @> '{-1}'::bigint[];
