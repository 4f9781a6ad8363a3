/* conversation.delete_not_updated_since */
-- Delete a batch of the conversations that were last updated before an instant.
--
-- Of each dialog a range of conversation_dialog_id_tenant_id_update_date_id_idx, the dialogs
-- in order by dialog_pkey or dialog_tenant_id_id_idx, from :from_dialog_id on. Returns how many
-- were deleted, how many were found (fewer than :limit in the last batch), and the
-- dialog that the next batch begins with. One that was updated meanwhile is kept.
-- returns: one
-- plan: custom
-- index: dialog_tenant_id_id_idx, conversation_dialog_id_tenant_id_update_date_id_idx,
--   conversation_pkey

WITH batch AS MATERIALIZED (
    SELECT
        d.id AS dialog_id,
        c.id
    FROM conversation_store.dialog AS d
    CROSS JOIN
        LATERAL (
            SELECT o.id
            FROM conversation_store.conversation AS o
            WHERE o.tenant_id = :tenant_id::text
                AND o.dialog_id = d.id
                AND o.update_date < :before_date::timestamptz
            ORDER BY
                o.update_date,
                o.id
            LIMIT :limit::bigint
        ) AS c
    -- Planned for its actual values, see get_list.sql.
    WHERE (:limit::bigint IS NOT NULL OR conversation_store.force_custom_plan(d.id))
        AND d.id >= :from_dialog_id::text
        AND d.tenant_id = :tenant_id::text
        AND (:dialog_id::text IS NULL OR d.id = :dialog_id::text)
    ORDER BY d.id
    LIMIT :limit::bigint
),

-- Locked in order of the ids; the date is looked at again in the row that was waited for.
locked AS MATERIALIZED (
    SELECT c.id
    FROM conversation_store.conversation AS c
    -- Planned for its actual values: a generic plan would read a whole tenant of average size for
    -- a list of ids, and so a large one.
    WHERE (:tenant_id::text IS NOT NULL OR conversation_store.force_custom_plan(c.id))
        AND c.tenant_id = :tenant_id::text
        AND c.id = ANY(ARRAY(SELECT b.id FROM batch AS b))
        AND c.update_date < :before_date::timestamptz
    ORDER BY c.id
    FOR UPDATE
),

deleted AS (
    DELETE FROM conversation_store.conversation AS c
    WHERE c.tenant_id = :tenant_id::text
        -- Not a join, see delete_by_ids.sql.
        AND c.id = ANY(ARRAY(SELECT l.id FROM locked AS l))
    RETURNING c.id
)

SELECT
    (SELECT count(*) FROM deleted) AS deleted,
    (SELECT count(*) FROM batch) AS found,
    (SELECT max(b.dialog_id) FROM batch AS b) AS last_dialog_id;
