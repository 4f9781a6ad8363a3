/* doctor.pending_names */
-- Look for a pair that no name has, by conversation_search_idx.
--
-- As doctor.pending_messages.
--
-- returns: count
SELECT FROM conversation_store.conversation AS c
WHERE
    conversation_store.search_keys(c.tenant_id, c.dialog_id, c.id || E'\n' || coalesce(c.name, ''))
    @> '{-1}'::bigint[];
