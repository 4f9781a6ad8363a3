/* conversation.get_list_by_date */
-- Return one page of a dialog's conversations, and how many match over all pages.
--
-- What get_list and list_after run in order of create_date or update_date, either direction,
-- when there is no filter and no keyword: the commonest list, planned once for a connection.
-- The page is a range of conversation_dialog_id_tenant_id_create_date_id_idx or its twin for
-- update_date, the total one of conversation_tenant_id_dialog_id_idx. One row with NULLs and
-- the total when the page is empty.
-- returns: many

-- What is asked for, in a row of its own: the planner does not see its values, so that the
-- generic plan looks no dearer to it than one for actual values, and is the one that is kept.
WITH asked AS MATERIALIZED (
    SELECT
        :dialog_id::text AS dialog_id,
        :orderby::text AS orderby,
        :desc::boolean AS newest_first,
        :limit::bigint AS length,
        :offset::bigint AS skipped,
        -- The first page begins before all dates.
        coalesce(
            :after_key::text::timestamptz,
            CASE WHEN :desc::boolean THEN 'infinity' ELSE '-infinity' END::timestamptz
        ) AS after_date,
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
),

-- The page is cut before anything is fetched; of the four only the chosen one runs. (The second
-- parentheses are for the linter.)
page AS (
    SELECT
        cut.id,
        cut.ordinal
    FROM asked AS a
    CROSS JOIN LATERAL unnest(
        CASE
            WHEN a.orderby = 'create_date' AND a.newest_first
                THEN ARRAY(
                        (
                            SELECT c.id
                            FROM conversation_store.conversation AS c
                            WHERE c.tenant_id = :tenant_id::text
                                AND c.dialog_id = a.dialog_id
                                AND (c.create_date, c.id) < (a.after_date, a.after_id)
                            ORDER BY c.create_date DESC, c.id DESC
                            LIMIT a.length OFFSET a.skipped
                        )
                    )
            WHEN a.orderby = 'create_date' AND NOT a.newest_first
                THEN ARRAY(
                        (
                            SELECT c.id
                            FROM conversation_store.conversation AS c
                            WHERE c.tenant_id = :tenant_id::text
                                AND c.dialog_id = a.dialog_id
                                AND (c.create_date, c.id) > (a.after_date, a.after_id)
                            ORDER BY c.create_date, c.id
                            LIMIT a.length OFFSET a.skipped
                        )
                    )
            WHEN a.orderby = 'update_date' AND a.newest_first
                THEN ARRAY(
                        (
                            SELECT c.id
                            FROM conversation_store.conversation AS c
                            WHERE c.tenant_id = :tenant_id::text
                                AND c.dialog_id = a.dialog_id
                                AND (c.update_date, c.id) < (a.after_date, a.after_id)
                            ORDER BY c.update_date DESC, c.id DESC
                            LIMIT a.length OFFSET a.skipped
                        )
                    )
            WHEN a.orderby = 'update_date' AND NOT a.newest_first
                THEN ARRAY(
                        (
                            SELECT c.id
                            FROM conversation_store.conversation AS c
                            WHERE c.tenant_id = :tenant_id::text
                                AND c.dialog_id = a.dialog_id
                                AND (c.update_date, c.id) > (a.after_date, a.after_id)
                            ORDER BY c.update_date, c.id
                            LIMIT a.length OFFSET a.skipped
                        )
                    )
        END
    ) WITH ORDINALITY AS cut (id, ordinal)
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
        WHEN s.message_count >= 0
            THEN (
                SELECT coalesce(json_agg(m.body ORDER BY m.position), '[]')
                FROM conversation_store.conversation_message AS m
                WHERE m.tenant_id = :tenant_id::text
                    AND m.conversation_id = s.id
                    AND m.position BETWEEN 1 AND s.message_count
            )
        ELSE (
            SELECT m.body
            FROM conversation_store.conversation_message AS m
            WHERE m.tenant_id = :tenant_id::text
                AND m.conversation_id = s.id
                AND m.position = 1
        )
    END AS message,
    CASE
        WHEN NOT a.include_reference THEN NULL
        WHEN s.reference_count >= 0
            THEN (
                SELECT coalesce(json_agg(r.body ORDER BY r.position), '[]')
                FROM conversation_store.conversation_reference AS r
                WHERE r.tenant_id = :tenant_id::text
                    AND r.conversation_id = s.id
                    AND r.position BETWEEN 1 AND s.reference_count
            )
        ELSE (
            SELECT r.body
            FROM conversation_store.conversation_reference AS r
            WHERE r.tenant_id = :tenant_id::text
                AND r.conversation_id = s.id
                AND r.position = 1
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
LEFT JOIN page ON TRUE
LEFT JOIN conversation_store.conversation AS s ON page.id = s.id AND s.tenant_id = :tenant_id::text
ORDER BY page.ordinal
-- With a limit here, entries are fetched after the sort and not carried through it.
LIMIT greatest(:limit::bigint, 1);
