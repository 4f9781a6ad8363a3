/* conversation.get_or_none */
-- Return the conversation with this id when it belongs to this dialog.
--
-- One row by conversation_pkey, and only when it is the dialog's.
-- returns: optional

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
WHERE c.id = :id::text
    AND c.dialog_id = :dialog_id::text;
