/* conversation.append_round */
-- Append the messages and references of one turn.
--
-- The row is locked first, and what it says is read from the lock, since the statement's own
-- snapshot may be older. The counts change in the UPDATE that holds the lock, so positions
-- never collide, and the cost does not grow with the conversation. An object that is stored
-- becomes the first entry of a list, {} and null an empty list: the count on the locked row
-- says which, and no entry moves.
-- Returns no row when there is no such conversation. When it is not in the expected round or
-- revision, or nothing can be appended to a stored value, nothing changes and new_round is NULL.
-- Served by conversation_pkey; locks that row, then writes its entries.
-- returns: optional
-- index: conversation_pkey, conversation_message_pkey, conversation_reference_pkey

WITH locked AS (
    SELECT
        c.id,
        c.round,
        c.revision,
        conversation_store.appended_count(
            c.message_count, json_array_length(:messages::json)
        ) AS message_count,
        conversation_store.appended_count(
            c.reference_count, json_array_length(:reference::json)
        ) AS reference_count
    FROM conversation_store.conversation AS c
    WHERE c.id = :id::text
        AND c.tenant_id = :tenant_id::text
        AND coalesce(c.dialog_id = :dialog_id::text, TRUE)
    FOR NO KEY UPDATE
),

allowed AS (
    SELECT
        l.id,
        l.round,
        l.message_count,
        l.reference_count
    FROM locked AS l
    WHERE l.message_count IS NOT NULL
        AND l.reference_count IS NOT NULL
        AND (:expected_round::bigint IS NULL OR l.round = :expected_round::bigint)
        AND (:expected_revision::bigint IS NULL OR l.revision = :expected_revision::bigint)
),

appended AS (
    UPDATE conversation_store.conversation AS c
    SET
        tokens = c.tokens + :tokens::bigint,
        duration = c.duration + :duration::double precision,
        round = c.round + 1,
        errors = coalesce(:errors::text, c.errors),
        update_date = now(),
        message_count = l.message_count,
        reference_count = l.reference_count,
        revision = c.revision + 1
    FROM allowed AS l
    WHERE c.tenant_id = :tenant_id::text
        AND c.id = l.id
    RETURNING
        c.id,
        c.tenant_id,
        c.dialog_id,
        c.round,
        c.message_count,
        c.reference_count
),

-- An entry beyond the count may be left from a longer list; it is written over.
messages AS (
    INSERT INTO conversation_store.conversation_message (
        conversation_id,
        position,
        tenant_id,
        dialog_id,
        body
    )
    SELECT
        a.id,
        a.message_count - json_array_length(:messages::json) + e.position,
        :tenant_id::text,
        a.dialog_id,
        e.body
    FROM appended AS a
    CROSS JOIN conversation_store.entries(:messages::json) AS e
    ON CONFLICT ON CONSTRAINT conversation_message_pkey DO UPDATE
        SET body = excluded.body
),

refs AS (
    INSERT INTO conversation_store.conversation_reference (
        conversation_id,
        position,
        tenant_id,
        body
    )
    SELECT
        a.id,
        a.reference_count - json_array_length(:reference::json) + e.position,
        :tenant_id::text,
        e.body
    FROM appended AS a
    CROSS JOIN conversation_store.entries(:reference::json) AS e
    ON CONFLICT ON CONSTRAINT conversation_reference_pkey DO UPDATE
        SET body = excluded.body
)

SELECT
    l.round AS current_round,
    l.revision AS current_revision,
    l.message_count IS NOT NULL AND l.reference_count IS NOT NULL AS appendable,
    (SELECT a.round FROM appended AS a) AS new_round
FROM locked AS l;
