/* conversation.get_by_id */
-- Return the conversation with this id.
--
-- One row by conversation_pkey, its entries in order by the primary keys of their tables.
-- With a dialog, only when it is the dialog's. The subqueries hide the flags from the planner:
-- without the entries, a plan for the actual values would look so cheap that the statement would
-- be planned at each call. In a generic plan, what is left out is not executed.
-- returns: optional
-- index: conversation_pkey, conversation_message_pkey, conversation_reference_pkey

SELECT
    c.id,
    c.tenant_id,
    c.dialog_id,
    c.name,
    c.user_id,
    c.exp_user_id,
    CASE
        WHEN NOT (SELECT :include_messages::boolean) THEN NULL
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
        WHEN NOT (SELECT :include_reference::boolean) THEN NULL
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
WHERE c.id = :id::text
    AND c.tenant_id = :tenant_id::text
    AND coalesce(c.dialog_id = :dialog_id::text, TRUE);
