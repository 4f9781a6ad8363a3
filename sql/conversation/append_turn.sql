/* conversation.append_turn */
-- Append the messages and references of one turn, unless it was appended before.
--
-- This is append_round.sql with the id of a turn, which is written under the lock of the row. A
-- file of its own: opening the table of turns would make a call without an id slower.
-- When the turn is there already, nothing changes and new_round is NULL, whatever else would
-- be wrong; conversation_turn/get.sql says what it was. That is a second statement, since this
-- one may have waited for the very turn, which its snapshot then lacks.
-- Served by conversation_pkey; locks that row, then writes its turn and its entries.
-- returns: optional
-- index: conversation_turn_pkey, conversation_pkey, conversation_message_pkey,
--   conversation_reference_pkey

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

-- A turn that is there already is no error, which would end the transaction of a caller.
claimed AS (
    INSERT INTO conversation_store.conversation_turn AS t (
        conversation_id,
        turn_id,
        tenant_id,
        round,
        digest
    )
    SELECT
        l.id,
        :turn_id::text,
        :tenant_id::text,
        -- A turn of the last round that is sent again is no overflow; a new one is, in the UPDATE.
        least(l.round, 2147483646) + 1,
        :digest::bytea
    FROM allowed AS l
    ON CONFLICT ON CONSTRAINT conversation_turn_pkey DO NOTHING
    RETURNING t.conversation_id
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
        AND EXISTS (SELECT FROM claimed)
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
