/* conversation.get_by_id */
-- Return the conversation with this id.
--
-- One row by conversation_pkey, its entries in order by the primary keys of their tables.
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
WHERE c.id = :id::text;
