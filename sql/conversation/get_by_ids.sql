/* conversation.get_by_ids */
-- Return the conversations with these ids, in order of the ids.
--
-- Served by conversation_pkey and the primary keys of the entries.
-- returns: many

SELECT
    c.id,
    c.tenant_id,
    c.dialog_id,
    c.name,
    c.user_id,
    c.exp_user_id,
    c.message,
    c.reference,
    c.tokens,
    c.source,
    c.dsl,
    c.duration,
    c.round,
    c.thumb_up,
    c.errors,
    c.version_title,
    c.create_date,
    c.update_date
FROM conversation_store.conversation_with_entries AS c
WHERE c.id = ANY(:ids::text[])
ORDER BY c.id
-- It limits nothing; with a limit here, entries are read after a sort and not carried through it.
LIMIT cardinality(:ids::text[]);
