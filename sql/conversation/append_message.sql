/* conversation.append_message */
-- Apply the given fields to a conversation and increment its round.
--
-- :increment is 1, or 0 where no turn was added: an update_by_id of messages or references, or
-- of an expected revision, is this statement too.
-- :changes holds the given scalar fields; :message, :reference and :dsl are whole values,
-- or NULL where they are left as they are. Of a list only the entries that differ are
-- written, so that one which ends in a new turn costs that turn. The comparison is with
-- the entries in this statement's snapshot: when another writer came between the snapshot
-- and the lock, which the revision tells, every entry is written. Two writers with
-- whole lists leave one of the two, never a mixture.
-- The row is locked first, so that the expected revision is compared with the current one.
-- Returns no row when there is no such conversation; where it is not in the expected revision,
-- nothing changes. Served by conversation_pkey; locks that row, then its entries.
-- returns: optional
-- index: conversation_pkey, conversation_message_pkey, conversation_reference_pkey

WITH before AS (
    SELECT c.revision
    FROM conversation_store.conversation AS c
    WHERE c.id = :id::text
        AND c.tenant_id = :tenant_id::text
),

locked AS (
    SELECT
        c.id,
        c.revision
    FROM conversation_store.conversation AS c
    WHERE c.id = :id::text
        AND c.tenant_id = :tenant_id::text
        AND coalesce(c.dialog_id = :dialog_id::text, TRUE)
    FOR NO KEY UPDATE
),

updated AS (
    UPDATE conversation_store.conversation AS c
    SET
        name = CASE
            WHEN :changes::jsonb ? 'name' THEN :changes::jsonb ->> 'name'
            ELSE c.name
        END,
        user_id = CASE
            WHEN :changes::jsonb ? 'user_id' THEN :changes::jsonb ->> 'user_id'
            ELSE c.user_id
        END,
        exp_user_id = CASE
            WHEN :changes::jsonb ? 'exp_user_id' THEN :changes::jsonb ->> 'exp_user_id'
            ELSE c.exp_user_id
        END,
        tokens = CASE
            WHEN :changes::jsonb ? 'tokens' THEN (:changes::jsonb ->> 'tokens')::bigint
            ELSE c.tokens
        END,
        source = CASE
            WHEN :changes::jsonb ? 'source' THEN :changes::jsonb ->> 'source'
            ELSE c.source
        END,
        -- A large value that is as it was is not written again.
        dsl = CASE
            WHEN :dsl::json IS NULL OR :dsl::json::text = c.dsl::text THEN c.dsl
            ELSE :dsl::json
        END,
        duration = CASE
            WHEN :changes::jsonb ? 'duration' THEN (:changes::jsonb ->> 'duration')::double precision
            ELSE c.duration
        END,
        round = c.round + :increment::integer,
        thumb_up = CASE
            WHEN :changes::jsonb ? 'thumb_up' THEN (:changes::jsonb ->> 'thumb_up')::integer
            ELSE c.thumb_up
        END,
        errors = CASE
            WHEN :changes::jsonb ? 'errors' THEN :changes::jsonb ->> 'errors'
            ELSE c.errors
        END,
        version_title = CASE
            WHEN :changes::jsonb ? 'version_title' THEN :changes::jsonb ->> 'version_title'
            ELSE c.version_title
        END,
        update_date = now(),
        message_count = coalesce(conversation_store.entry_count(:message::json), c.message_count),
        reference_count = coalesce(conversation_store.entry_count(:reference::json), c.reference_count),
        revision = c.revision + 1
    FROM locked AS l
    WHERE c.tenant_id = :tenant_id::text
        AND c.id = l.id
        AND (:expected_revision::bigint IS NULL OR l.revision = :expected_revision::bigint)
    RETURNING
        c.id,
        c.tenant_id,
        c.dialog_id,
        c.message_count,
        c.reference_count,
        l.revision = (SELECT b.revision FROM before AS b) AS snapshot_is_current
),

written_message AS (
    INSERT INTO conversation_store.conversation_message (
        conversation_id,
        position,
        tenant_id,
        dialog_id,
        body
    )
    SELECT
        u.id,
        g.position,
        :tenant_id::text,
        u.dialog_id,
        g.body
    FROM updated AS u
    CROSS JOIN conversation_store.entries(:message::json) AS g
    LEFT JOIN conversation_store.conversation_message AS old
        ON old.tenant_id = :tenant_id::text AND u.id = old.conversation_id AND g.position = old.position
    WHERE old.body IS NULL
        OR old.body::text <> g.body::text
        OR NOT u.snapshot_is_current
    ON CONFLICT ON CONSTRAINT conversation_message_pkey DO UPDATE
        SET body = excluded.body
),

removed_message AS (
    DELETE FROM conversation_store.conversation_message AS m
    USING updated AS u
    WHERE :message::json IS NOT NULL
        AND m.tenant_id = :tenant_id::text
        AND m.conversation_id = u.id
        AND m.position > CASE WHEN u.message_count >= 0 THEN u.message_count ELSE 1 END
),

written_reference AS (
    INSERT INTO conversation_store.conversation_reference (
        conversation_id,
        position,
        tenant_id,
        body
    )
    SELECT
        u.id,
        g.position,
        :tenant_id::text,
        g.body
    FROM updated AS u
    CROSS JOIN conversation_store.entries(:reference::json) AS g
    LEFT JOIN conversation_store.conversation_reference AS old
        ON old.tenant_id = :tenant_id::text AND u.id = old.conversation_id AND g.position = old.position
    WHERE old.body IS NULL
        OR old.body::text <> g.body::text
        OR NOT u.snapshot_is_current
    ON CONFLICT ON CONSTRAINT conversation_reference_pkey DO UPDATE
        SET body = excluded.body
),

removed_reference AS (
    DELETE FROM conversation_store.conversation_reference AS r
    USING updated AS u
    WHERE :reference::json IS NOT NULL
        AND r.tenant_id = :tenant_id::text
        AND r.conversation_id = u.id
        AND r.position > CASE WHEN u.reference_count >= 0 THEN u.reference_count ELSE 1 END
)

SELECT
    l.revision AS current_revision,
    (SELECT u.id FROM updated AS u) IS NOT NULL AS changed
FROM locked AS l;
