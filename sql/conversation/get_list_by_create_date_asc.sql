/* conversation.get_list_by_create_date_asc */
-- Return one page of a dialog's conversations, and how many match over all pages.
--
-- What get_list and list_after run for the oldest first by create_date, when there is no filter and
-- no keyword: a statement for this order alone, planned once for a connection, has half of the
-- parts that one for several orders starts. The page is a range of
-- conversation_dialog_id_tenant_id_create_date_id_idx, the total one of
-- conversation_tenant_id_dialog_id_idx. One row with NULLs and the total when the page is empty.
-- returns: many
-- not_null: id, tenant_id, dialog_id, user_id, tokens, duration, round, thumb_up, create_date,
--   update_date, revision, since a row without an id stands for an empty page, of which the total
--   alone is read
-- index: conversation_dialog_id_tenant_id_create_date_id_idx,
--   conversation_tenant_id_dialog_id_idx or conversation_dialog_id_tenant_id_update_date_id_idx,
--   conversation_message_pkey, conversation_reference_pkey
-- sorts: the page alone

-- What is asked for, in a row of its own: the planner does not see its values, so that the
-- generic plan looks no dearer to it than one for actual values, and is the one that is kept.
WITH asked AS MATERIALIZED (
    SELECT
        :dialog_id::text AS dialog_id,
        :limit::bigint AS length,
        :offset::bigint AS skipped,
        -- The first page begins before all dates.
        coalesce(:after_key::text::timestamptz, '-infinity') AS after_date,
        coalesce(:after_id::text, '') AS after_id,
        :total::text AS total,
        :total_limit::bigint AS total_limit,
        :include_messages::boolean AS include_messages,
        :include_reference::boolean AS include_reference,
        :include_dsl::boolean AS include_dsl
),

-- Once, and for an empty page too: to the end, up to a limit, or not at all. No id is empty: that
-- is the condition of conversation_tenant_id_dialog_id_idx, which the planner takes only where a
-- statement repeats it.
counted AS MATERIALIZED (
    SELECT
        CASE
            WHEN a.total = 'exact'
                THEN (
                    SELECT count(*)
                    FROM conversation_store.conversation AS c
                    WHERE c.tenant_id = :tenant_id::text
                        AND c.dialog_id = a.dialog_id
                        AND (c.id <> '') IS TRUE
                )
            WHEN a.total = 'capped'
                THEN (
                    SELECT count(*)
                    FROM (
                        SELECT c.id
                        FROM conversation_store.conversation AS c
                        WHERE c.tenant_id = :tenant_id::text
                            AND c.dialog_id = a.dialog_id
                            AND (c.id <> '') IS TRUE
                        LIMIT a.total_limit
                    ) AS capped
                )
        END AS total
    FROM asked AS a
)

SELECT
    n.total,
    s.id,
    s.tenant_id,
    s.dialog_id,
    s.name,
    s.user_id,
    s.exp_user_id,
    CASE
        WHEN NOT a.include_messages THEN NULL
        WHEN s.message_count = 0 THEN '[]'
        ELSE (
            SELECT
                CASE
                    WHEN s.message_count > 0 THEN coalesce(json_agg(m.body ORDER BY m.position), '[]')
                    ELSE json_agg(m.body ORDER BY m.position) -> 0
                END
            FROM conversation_store.conversation_message AS m
            WHERE m.tenant_id = :tenant_id::text
                AND m.conversation_id = s.id
                AND m.position <= greatest(s.message_count, 1)
        )
    END AS message,
    CASE
        WHEN NOT a.include_reference THEN NULL
        WHEN s.reference_count = 0 THEN '[]'
        ELSE (
            SELECT
                CASE
                    WHEN s.reference_count > 0 THEN coalesce(json_agg(r.body ORDER BY r.position), '[]')
                    ELSE json_agg(r.body ORDER BY r.position) -> 0
                END
            FROM conversation_store.conversation_reference AS r
            WHERE r.tenant_id = :tenant_id::text
                AND r.conversation_id = s.id
                AND r.position <= greatest(s.reference_count, 1)
        )
    END AS reference,
    s.tokens,
    s.source,
    CASE WHEN a.include_dsl THEN s.dsl END AS dsl,
    s.duration,
    s.round,
    s.thumb_up,
    s.errors,
    s.version_title,
    s.create_date,
    s.update_date,
    s.revision
FROM asked AS a
CROSS JOIN counted AS n
-- The page is cut before any entry is read.
LEFT JOIN LATERAL (
    SELECT
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
    FROM conversation_store.conversation AS c
    WHERE c.tenant_id = :tenant_id::text
        AND c.dialog_id = a.dialog_id
        AND (c.create_date, c.id) > (a.after_date, a.after_id)
    ORDER BY c.create_date, c.id
    LIMIT a.length OFFSET a.skipped
) AS s ON TRUE
ORDER BY s.create_date, s.id
-- With a limit here, entries are fetched after the sort and not carried through it.
LIMIT greatest(:limit::bigint, 1);
