/* conversation.update_many_by_id */
-- Apply the given fields to many conversations, to all of them or to none.
--
-- :updates is a list of objects: the id, once in the list, the scalar changes, and message, reference and dsl
-- where they are given. When one of the conversations is not there, nothing changes. Every
-- given entry is written; append_message.sql writes only what differs. Returns each id, and
-- whether there is such a conversation. Rows are locked in order of the ids, then their
-- entries. Served by conversation_pkey.
-- returns: many

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
    INNER JOIN given AS g ON c.id = g.id
    ORDER BY c.id
    FOR NO KEY UPDATE OF c
),

updated AS (
    UPDATE conversation_store.conversation AS c
    SET
        (
            name,
            user_id,
            exp_user_id,
            tokens,
            source,
            duration,
            thumb_up,
            errors,
            version_title
        ) = (
            -- What is not given is taken from the row, which the linter does not know (RF).
            SELECT
                n.name,
                n.user_id,
                n.exp_user_id,
                n.tokens,
                n.source,
                n.duration,
                n.thumb_up,
                n.errors,
                n.version_title
            FROM jsonb_populate_record(c, g.changes) AS n -- noqa: RF01,RF03
        ),
        dsl = coalesce(g.dsl, c.dsl),
        update_date = now(),
        message_count = CASE
            WHEN g.message IS NULL THEN c.message_count
            WHEN json_typeof(g.message) = 'array' THEN json_array_length(g.message)
            ELSE -1
        END,
        reference_count = CASE
            WHEN g.reference IS NULL THEN c.reference_count
            WHEN json_typeof(g.reference) = 'array' THEN json_array_length(g.reference)
            ELSE -1
        END,
        revision = c.revision + 1
    FROM given AS g
    WHERE c.id = g.id
        AND (SELECT count(*) FROM locked) = (SELECT count(*) FROM given)
    RETURNING
        c.id,
        c.tenant_id,
        c.dialog_id,
        c.message_count,
        c.reference_count
),

-- A list is its entries from position 1; any other value is the entry at position 0.
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
        CASE WHEN u.message_count >= 0 THEN e.ordinality ELSE 0 END,
        u.tenant_id,
        u.dialog_id,
        e.value
    FROM updated AS u
    INNER JOIN given AS g ON u.id = g.id
    CROSS JOIN
        LATERAL json_array_elements(
            CASE WHEN u.message_count >= 0 THEN g.message ELSE json_build_array(g.message) END
        ) WITH ORDINALITY AS e (value, ordinality)
    WHERE g.message IS NOT NULL
    ON CONFLICT ON CONSTRAINT conversation_message_pkey DO UPDATE
        SET body = excluded.body
),

removed_message AS (
    DELETE FROM conversation_store.conversation_message AS m
    USING updated AS u, given AS g
    WHERE u.id = g.id
        AND g.message IS NOT NULL
        AND m.conversation_id = u.id
        AND CASE
            WHEN u.message_count >= 0 THEN m.position NOT BETWEEN 1 AND u.message_count
            ELSE m.position <> 0
        END
),

-- A list is its entries from position 1; any other value is the entry at position 0.
written_reference AS (
    INSERT INTO conversation_store.conversation_reference (
        conversation_id,
        position,
        tenant_id,
        body
    )
    SELECT
        u.id,
        CASE WHEN u.reference_count >= 0 THEN e.ordinality ELSE 0 END,
        u.tenant_id,
        e.value
    FROM updated AS u
    INNER JOIN given AS g ON u.id = g.id
    CROSS JOIN
        LATERAL json_array_elements(
            CASE WHEN u.reference_count >= 0 THEN g.reference ELSE json_build_array(g.reference) END
        ) WITH ORDINALITY AS e (value, ordinality)
    WHERE g.reference IS NOT NULL
    ON CONFLICT ON CONSTRAINT conversation_reference_pkey DO UPDATE
        SET body = excluded.body
),

removed_reference AS (
    DELETE FROM conversation_store.conversation_reference AS m
    USING updated AS u, given AS g
    WHERE u.id = g.id
        AND g.reference IS NOT NULL
        AND m.conversation_id = u.id
        AND CASE
            WHEN u.reference_count >= 0 THEN m.position NOT BETWEEN 1 AND u.reference_count
            ELSE m.position <> 0
        END
)

SELECT
    g.id,
    l.id IS NOT NULL AS found
FROM given AS g
LEFT JOIN locked AS l ON g.id = l.id
ORDER BY g.id
LIMIT json_array_length(:updates::json);
