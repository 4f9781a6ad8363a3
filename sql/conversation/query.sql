/* conversation.query */
-- Return the conversations of a dialog, of a user, or of both, newest first.
--
-- What is given folds into a condition of conversation_dialog_id_tenant_id_create_date_id_idx
-- or conversation_tenant_id_user_id_create_date_id_idx, which give the order too. An id is
-- looked up by conversation_pkey.
-- returns: many
-- plan: custom
-- index: conversation_dialog_id_tenant_id_create_date_id_idx,
--   conversation_dialog_id_tenant_id_update_date_id_idx,
--   conversation_tenant_id_user_id_create_date_id_idx, conversation_pkey,
--   conversation_message_pkey, conversation_reference_pkey
-- scans: conversation, since this is without a dialog and a user, which the method refuses
-- sorts: what an id or a user leaves of a dialog, which is little

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
-- Planned for its actual values, see get_list.sql.
WHERE (:limit::bigint IS NOT NULL OR conversation_store.force_custom_plan(c.id))
    -- A subquery, see get_list.sql.
    AND (:id::text IS NULL OR c.id = (SELECT :id::text))
    AND c.tenant_id = :tenant_id::text
    AND (:dialog_id::text IS NULL OR c.dialog_id = :dialog_id::text)
    AND (:user_id::text IS NULL OR c.user_id = :user_id::text)
ORDER BY
    c.create_date DESC,
    c.id DESC
LIMIT :limit::bigint;
