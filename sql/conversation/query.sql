/* conversation.query */
-- Return the conversations of a dialog, of a user, or of both, newest first.
--
-- What is given folds into a condition of conversation_tenant_id_dialog_id_create_date_id_idx
-- or conversation_tenant_id_user_id_create_date_id_idx, which give the order too, or of
-- conversation_pkey.
-- returns: many
-- plan: custom

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
-- Planned for its actual values, see get_list.sql.
WHERE (:limit::bigint IS NOT NULL OR conversation_store.force_custom_plan(c.id))
    AND (:id::text IS NULL OR c.id = :id::text)
    AND (:tenant_id::text IS NULL OR c.tenant_id = :tenant_id::text)
    AND (:user_id::text IS NULL OR c.user_id = :user_id::text)
    AND (
        :dialog_id::text IS NULL
        OR (
            c.dialog_id = :dialog_id::text
            -- The tenant is the dialog's, always, and leads the index; an id needs neither.
            AND (
                :id::text IS NOT NULL
                OR c.tenant_id = (
                    SELECT d.tenant_id
                    FROM conversation_store.dialog AS d
                    WHERE d.id = :dialog_id::text
                )
            )
        )
    )
ORDER BY
    c.create_date DESC,
    c.id DESC
LIMIT :limit::bigint;
