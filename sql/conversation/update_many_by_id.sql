/* conversation.update_many_by_id */
-- Apply the given fields to many conversations, to all of them or to none.
--
-- :updates is a list of objects: the id, once in the list, the scalar changes, and message, reference and dsl
-- where they are given. When one of the conversations is not there, nothing changes. Every
-- given entry is written; append_message.sql writes only what differs. Returns each id, and
-- whether there is such a conversation. Rows are locked in order of the ids, then their
-- entries. Served by conversation_pkey.
-- returns: many
-- not_null: id, since each object of :updates has one
-- plan: custom
-- index: conversation_pkey, conversation_message_pkey, conversation_reference_pkey
-- sorts: the given rows, by the numbers that tell their order
-- lint: L06, since each id is given once

WITH given AS MATERIALIZED (
    SELECT
        e.value ->> 'id' AS id,
        (e.value -> 'changes')::jsonb AS changes,
        e.value -> 'message' AS message,
        e.value -> 'reference' AS reference,
        e.value -> 'dsl' AS dsl
    FROM json_array_elements(:updates::json) AS e (value)
),

locked AS MATERIALIZED (
    SELECT c.id
    FROM conversation_store.conversation AS c
    -- Planned for its actual values: a generic plan would read a whole tenant of average size for
    -- a list of ids, and so a large one.
    WHERE (:tenant_id::text IS NOT NULL OR conversation_store.force_custom_plan(c.id))
        AND c.tenant_id = :tenant_id::text
        AND c.id = ANY(ARRAY(SELECT g.id FROM given AS g))
        AND coalesce(c.dialog_id = :dialog_id::text, TRUE)
    ORDER BY c.id
    FOR NO KEY UPDATE
),

updated AS (
    UPDATE conversation_store.conversation AS c
    SET
        -- One CASE a column: a reference to the whole row would read its dsl, however large.
        name = CASE WHEN g.changes ? 'name' THEN g.changes ->> 'name' ELSE c.name END,
        user_id = CASE WHEN g.changes ? 'user_id' THEN g.changes ->> 'user_id' ELSE c.user_id END,
        exp_user_id
        = CASE WHEN g.changes ? 'exp_user_id' THEN g.changes ->> 'exp_user_id' ELSE c.exp_user_id END,
        tokens = CASE WHEN g.changes ? 'tokens' THEN (g.changes ->> 'tokens')::bigint ELSE c.tokens END,
        source = CASE WHEN g.changes ? 'source' THEN g.changes ->> 'source' ELSE c.source END,
        dsl = coalesce(g.dsl, c.dsl),
        duration
        = CASE
            WHEN g.changes ? 'duration' THEN (g.changes ->> 'duration')::double precision ELSE c.duration
        END,
        thumb_up
        = CASE WHEN g.changes ? 'thumb_up' THEN (g.changes ->> 'thumb_up')::integer ELSE c.thumb_up END,
        errors = CASE WHEN g.changes ? 'errors' THEN g.changes ->> 'errors' ELSE c.errors END,
        version_title
        = CASE WHEN g.changes ? 'version_title' THEN g.changes ->> 'version_title' ELSE c.version_title END,
        update_date = now(),
        message_count = coalesce(conversation_store.entry_count(g.message), c.message_count),
        reference_count = coalesce(conversation_store.entry_count(g.reference), c.reference_count),
        revision = c.revision + 1
    FROM given AS g
    WHERE c.tenant_id = :tenant_id::text
        AND c.id = g.id
        -- This makes it a look-up: to join them alone, the planner may read the whole tenant.
        AND c.id = ANY(ARRAY(SELECT l.id FROM locked AS l))
        AND (SELECT count(*) FROM locked) = (SELECT count(*) FROM given)
    RETURNING
        c.id,
        c.tenant_id,
        c.dialog_id,
        c.message_count,
        c.reference_count
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
        e.position,
        :tenant_id::text,
        u.dialog_id,
        e.body
    FROM updated AS u
    INNER JOIN given AS g ON u.id = g.id
    CROSS JOIN LATERAL conversation_store.entries(g.message) AS e
    ON CONFLICT ON CONSTRAINT conversation_message_pkey DO UPDATE
        SET body = excluded.body
),

removed_message AS (
    DELETE FROM conversation_store.conversation_message AS m
    USING updated AS u, given AS g
    WHERE u.id = g.id
        AND g.message IS NOT NULL
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
        e.position,
        :tenant_id::text,
        e.body
    FROM updated AS u
    INNER JOIN given AS g ON u.id = g.id
    CROSS JOIN LATERAL conversation_store.entries(g.reference) AS e
    ON CONFLICT ON CONSTRAINT conversation_reference_pkey DO UPDATE
        SET body = excluded.body
),

removed_reference AS (
    DELETE FROM conversation_store.conversation_reference AS m
    USING updated AS u, given AS g
    WHERE u.id = g.id
        AND g.reference IS NOT NULL
        AND m.tenant_id = :tenant_id::text
        AND m.conversation_id = u.id
        AND m.position > CASE WHEN u.reference_count >= 0 THEN u.reference_count ELSE 1 END
)

SELECT
    g.id,
    l.id IS NOT NULL AS found
FROM given AS g
LEFT JOIN locked AS l ON g.id = l.id
ORDER BY g.id;
