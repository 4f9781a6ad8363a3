/* conversation.get_by_ids */
-- Return the conversations with these ids, in order of the ids.
--
-- Served by conversation_pkey and the primary keys of the entries.
-- returns: many
-- plan: custom
-- index: conversation_pkey, conversation_message_pkey, conversation_reference_pkey

SELECT
    c.id,
    c.tenant_id,
    c.dialog_id,
    c.name,
    c.user_id,
    c.exp_user_id,
    CASE
        WHEN NOT :include_messages::boolean THEN NULL
        WHEN c.message_count = 0 THEN '[]'
        ELSE (
            SELECT
                CASE
                    WHEN c.message_count > 0 THEN coalesce(json_agg(m.body ORDER BY m.position), '[]')
                    ELSE json_agg(m.body ORDER BY m.position) -> 0
                END
            FROM conversation_store.conversation_message AS m
            WHERE m.tenant_id = :tenant_id::text
                AND m.conversation_id = c.id
                AND m.position <= greatest(c.message_count, 1)
        )
    END AS message,
    CASE
        WHEN NOT :include_reference::boolean THEN NULL
        WHEN c.reference_count = 0 THEN '[]'
        ELSE (
            SELECT
                CASE
                    WHEN c.reference_count > 0 THEN coalesce(json_agg(r.body ORDER BY r.position), '[]')
                    ELSE json_agg(r.body ORDER BY r.position) -> 0
                END
            FROM conversation_store.conversation_reference AS r
            WHERE r.tenant_id = :tenant_id::text
                AND r.conversation_id = c.id
                AND r.position <= greatest(c.reference_count, 1)
        )
    END AS reference,
    c.tokens,
    c.source,
    CASE WHEN :include_dsl::boolean THEN c.dsl END AS dsl,
    c.duration,
    c.round,
    c.thumb_up,
    c.errors,
    c.version_title,
    c.create_date,
    c.update_date,
    c.revision
FROM conversation_store.conversation AS c
-- Planned for its actual values: a generic plan would read a whole tenant of average size for
-- a list of ids, and so a large one.
WHERE (:tenant_id::text IS NOT NULL OR conversation_store.force_custom_plan(c.id))
    AND c.id = ANY(:ids::text[])
    AND c.tenant_id = :tenant_id::text
    AND coalesce(c.dialog_id = :dialog_id::text, TRUE)
ORDER BY c.id
-- It limits nothing; with a limit here, entries are read after a sort and not carried through it.
LIMIT cardinality(:ids::text[]);
