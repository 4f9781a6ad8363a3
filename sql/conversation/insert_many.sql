/* conversation.insert_many */
-- Load conversations without their entries.
--
-- The tenant must be the dialog's, and the counts those of the entries; the foreign key
-- holds the one and insert_many the other.
-- returns: count
-- index: none

COPY conversation_store.conversation (
    id,
    tenant_id,
    dialog_id,
    name,
    user_id,
    exp_user_id,
    tokens,
    source,
    dsl,
    duration,
    round,
    thumb_up,
    errors,
    version_title,
    create_date,
    update_date,
    message_count,
    reference_count,
    revision,
    import_date
) FROM STDIN;
