/* conversation.save */
-- Insert a conversation and return it as stored.
--
-- A dialog that the tenant does not have is the foreign key's error; an id that the tenant
-- has already is the primary key's.
-- returns: one
-- index: none

WITH inserted AS (
    INSERT INTO conversation_store.conversation AS c (
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
        reference_count
    )
    VALUES (
        :id::text,
        :tenant_id::text,
        :dialog_id::text,
        :name::text,
        :user_id::text,
        :exp_user_id::text,
        :tokens::bigint,
        :source::text,
        :dsl::json,
        :duration::double precision,
        :round::integer,
        :thumb_up::integer,
        :errors::text,
        :version_title::text,
        coalesce(:create_date::timestamptz, now()),
        coalesce(:update_date::timestamptz, :create_date::timestamptz, now()),
        conversation_store.entry_count(:message::json),
        conversation_store.entry_count(:reference::json)
    )
    RETURNING
        c.id,
        c.tenant_id,
        c.dialog_id,
        c.name,
        c.user_id,
        c.exp_user_id,
        c.tokens,
        c.source,
        c.dsl,
        c.duration,
        c.round,
        c.thumb_up,
        c.errors,
        c.version_title,
        c.create_date,
        c.update_date,
        c.message_count,
        c.reference_count,
        c.revision
),

messages AS (
    INSERT INTO conversation_store.conversation_message (
        conversation_id,
        position,
        tenant_id,
        dialog_id,
        body
    )
    SELECT
        i.id,
        e.position,
        :tenant_id::text,
        i.dialog_id,
        e.body
    FROM inserted AS i
    CROSS JOIN conversation_store.entries(:message::json) AS e
),

refs AS (
    INSERT INTO conversation_store.conversation_reference (
        conversation_id,
        position,
        tenant_id,
        body
    )
    SELECT
        i.id,
        e.position,
        :tenant_id::text,
        e.body
    FROM inserted AS i
    CROSS JOIN conversation_store.entries(:reference::json) AS e
)

SELECT
    i.id,
    i.tenant_id,
    i.dialog_id,
    i.name,
    i.user_id,
    i.exp_user_id,
    :message::json AS message,
    :reference::json AS reference,
    i.tokens,
    i.source,
    i.dsl,
    i.duration,
    i.round,
    i.thumb_up,
    i.errors,
    i.version_title,
    i.create_date,
    i.update_date,
    i.revision
FROM inserted AS i;
