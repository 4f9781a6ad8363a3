/* conversation.get_list_by_keywords */
-- Return one page of a dialog's conversations, and how many match over all pages.
--
-- What get_list and list_after run when keywords are given. There are three ways to the page:
--
-- 1. by_index: conversation_message_search_idx and conversation_search_idx find the hits. So for
--    a rare keyword, of at most 1,000 hits, and for an exact total where a bitmap of the hits has
--    room in work_mem.
-- 2. in_order: for a common keyword the conversations are read in the order of the page, their
--    messages until one has the keyword, until the page is full. Where the indexes can be
--    read after it, this is bounded: a word that only old conversations have is found by them.
-- 3. by_scan: every message of the dialog is read, for an exact total that no index can give, such
--    as that of a single character, or that nearly all conversations have.
--
-- One row with NULLs and the total when the page is empty.
-- returns: many
-- not_null: id, tenant_id, dialog_id, user_id, tokens, duration, round, thumb_up, create_date,
--   update_date, revision, since a row without an id stands for an empty page, of which the total
--   alone is read
-- plan: custom
-- index: conversation_message_search_idx, conversation_search_idx,
--   conversation_tenant_id_dialog_id_exp_user_id_idx,
--   conversation_dialog_id_tenant_id_create_date_id_idx,
--   conversation_dialog_id_tenant_id_update_date_id_idx, conversation_pkey,
--   conversation_message_pkey, conversation_reference_pkey
-- sorts: the page, what has a rare keyword, and the dialog as in get_list.sql
-- lint: L06, since of the branches of each UNION ALL that is sorted one alone has rows, whose ids differ
-- lint: L09, since search_keys narrows by an index, and the folded text decides

-- What is known before anything is read.
WITH asked AS MATERIALIZED (
    SELECT
        conversation_store.keys_in_dialog(:tenant_id::text, :dialog_id::text, :keywords::text)
        IS NOT NULL AS has_keys,
        conversation_store.bitmap_fits() AS has_room,
        :total::text = 'exact' AS is_exact,
        -- How many conversations are needed for the page, or for the total that is counted so far.
        :offset::bigint + :limit::bigint AS page_end,
        greatest(
            :offset::bigint + :limit::bigint,
            CASE :total::text WHEN 'capped' THEN :total_limit::bigint END
        ) AS needed
),

-- The texts that have the keyword; position 0 stands for the id and the name, which are texts of
-- their own. The server computes these rows one by one as they are asked for: those who ask
-- for the first 1,001 have the others not read.
indexed AS MATERIALIZED (
    SELECT
        m.conversation_id AS id,
        m.position
    FROM conversation_store.conversation_message AS m
    WHERE m.tenant_id = :tenant_id::text
        AND m.dialog_id = :dialog_id::text
        AND conversation_store.search_keys(m.tenant_id, m.dialog_id, conversation_store.message_text(m.body))
        @> conversation_store.keys_apart(
            conversation_store.keys_in_dialog(:tenant_id::text, :dialog_id::text, :keywords::text), 1
        )
        AND conversation_store.search_keys(m.tenant_id, m.dialog_id, conversation_store.message_text(m.body))
        @> conversation_store.keys_apart(
            conversation_store.keys_in_dialog(:tenant_id::text, :dialog_id::text, :keywords::text), 2
        )
        AND conversation_store.search_keys(m.tenant_id, m.dialog_id, conversation_store.message_text(m.body))
        @> conversation_store.keys_apart(
            conversation_store.keys_in_dialog(:tenant_id::text, :dialog_id::text, :keywords::text), 3
        )
        AND conversation_store.search_keys(m.tenant_id, m.dialog_id, conversation_store.message_text(m.body))
        @> conversation_store.keys_apart(
            conversation_store.keys_in_dialog(:tenant_id::text, :dialog_id::text, :keywords::text), 4
        )
        AND strpos(
            conversation_store.fold(conversation_store.message_text(m.body)),
            conversation_store.fold(:keywords::text)
        ) > 0
    UNION ALL
    SELECT
        n.id,
        0
    FROM conversation_store.conversation AS n
    WHERE n.tenant_id = :tenant_id::text
        AND n.dialog_id = :dialog_id::text
        AND conversation_store.search_keys(n.tenant_id, n.dialog_id, n.id || E'\n' || coalesce(n.name, ''))
        @> conversation_store.keys_in_dialog(:tenant_id::text, :dialog_id::text, :keywords::text)
        AND (
            strpos(conversation_store.fold(n.id), conversation_store.fold(:keywords::text)) > 0
            OR strpos(conversation_store.fold(n.name), conversation_store.fold(:keywords::text)) > 0
        )
),

-- Conversations of all dialogs, whoever's and whenever: a look-up of an id that names none of this
-- can only be served by conversation_pkey, whatever the planner knows of the tenant.
matching AS NOT MATERIALIZED (
    SELECT
        c.id,
        c.dialog_id,
        c.user_id,
        c.exp_user_id,
        c.name,
        left(coalesce(c.name, ''), 200) AS start_of_name,
        c.tokens,
        c.duration,
        c.round,
        c.thumb_up,
        c.create_date,
        c.update_date,
        CASE WHEN c.message_count >= 0 THEN c.message_count ELSE 1 END AS entries
    FROM conversation_store.conversation AS c
    -- Planned for its actual values: with a generic plan this term would cost more than
    -- anything, and with actual values it folds away.
    WHERE (:tenant_id::text IS NOT NULL OR conversation_store.force_custom_plan(c.id))
        AND c.tenant_id = :tenant_id::text
        -- A subquery hides the id from the planner: of one that many tenants have it would expect
        -- many rows, and walk the dialog for the one that conversation_pkey finds.
        AND (:id::text IS NULL OR c.id = (SELECT :id::text))
        AND (
            :after_id::text IS NULL
            OR CASE
                WHEN :orderby::text = 'id' AND :desc::boolean
                    THEN c.id < :after_id::text
                WHEN :orderby::text = 'id'
                    THEN c.id > :after_id::text
                WHEN :orderby::text = 'name' AND :desc::boolean
                    THEN (left(coalesce(c.name, ''), 200), c.id) < (:after_key::text, :after_id::text)
                WHEN :orderby::text = 'name'
                    THEN (left(coalesce(c.name, ''), 200), c.id) > (:after_key::text, :after_id::text)
                WHEN :orderby::text = 'create_date' AND :desc::boolean
                    THEN (c.create_date, c.id) < (:after_key::text::timestamptz, :after_id::text)
                WHEN :orderby::text = 'create_date'
                    THEN (c.create_date, c.id) > (:after_key::text::timestamptz, :after_id::text)
                WHEN :orderby::text = 'update_date' AND :desc::boolean
                    THEN (c.update_date, c.id) < (:after_key::text::timestamptz, :after_id::text)
                WHEN :orderby::text = 'update_date'
                    THEN (c.update_date, c.id) > (:after_key::text::timestamptz, :after_id::text)
                WHEN :orderby::text = 'tokens' AND :desc::boolean
                    THEN (c.tokens, c.id) < (:after_key::text::bigint, :after_id::text)
                WHEN :orderby::text = 'tokens'
                    THEN (c.tokens, c.id) > (:after_key::text::bigint, :after_id::text)
                WHEN :orderby::text = 'duration' AND :desc::boolean
                    THEN (c.duration, c.id) < (:after_key::text::double precision, :after_id::text)
                WHEN :orderby::text = 'duration'
                    THEN (c.duration, c.id) > (:after_key::text::double precision, :after_id::text)
                WHEN :orderby::text = 'round' AND :desc::boolean
                    THEN (c.round, c.id) < (:after_key::text::integer, :after_id::text)
                WHEN :orderby::text = 'round'
                    THEN (c.round, c.id) > (:after_key::text::integer, :after_id::text)
                WHEN :orderby::text = 'thumb_up' AND :desc::boolean
                    THEN (c.thumb_up, c.id) < (:after_key::text::integer, :after_id::text)
                WHEN :orderby::text = 'thumb_up'
                    THEN (c.thumb_up, c.id) > (:after_key::text::integer, :after_id::text)
            END
        )
),

-- Those of the dialog that the filters leave.
listed AS NOT MATERIALIZED (
    SELECT
        c.id,
        c.name,
        c.start_of_name,
        c.tokens,
        c.duration,
        c.round,
        c.thumb_up,
        c.create_date,
        c.update_date,
        c.entries
    FROM matching AS c
    WHERE c.dialog_id = :dialog_id::text
        AND (:user_id::text IS NULL OR c.user_id = :user_id::text)
        AND (:exp_user_id::text IS NULL OR c.exp_user_id = :exp_user_id::text)
        AND (
            :from_date::timestamptz IS NULL
            OR CASE WHEN :date_field::text = 'update_date' THEN c.update_date ELSE c.create_date END
            >= :from_date::timestamptz
        )
        AND (
            :before_date::timestamptz IS NULL
            OR CASE WHEN :date_field::text = 'update_date' THEN c.update_date ELSE c.create_date END
            < :before_date::timestamptz
        )
),

-- Which way is taken. Few conversations, of few messages, are read in order to the end.
way AS MATERIALIZED (
    SELECT
        w.is_rare
        OR (w.is_exact AND w.has_keys AND w.has_room AND NOT w.are_few AND NOT w.is_dense) AS by_index,
        w.is_exact
        AND NOT w.is_rare
        AND NOT w.are_few
        AND (NOT w.has_keys OR NOT w.has_room OR w.is_dense) AS by_scan,
        NOT w.is_exact AND NOT w.are_few AND w.has_keys AND w.has_room AS is_bounded
    FROM (
        SELECT
            r.is_rare,
            a.is_exact,
            a.has_keys,
            a.has_room,
            NOT r.is_rare AND (
                SELECT count(*) <= 1000 AND coalesce(sum(f.entries), 0) <= 10000
                FROM (
                    SELECT m.entries
                    FROM listed AS m
                    ORDER BY -- by an index of the dialog, and not by a scan of the table
                        m.create_date DESC,
                        m.id DESC
                    LIMIT 1001
                ) AS f
            ) AS are_few,
            -- Where four of five of the newest conversations have the keyword, a scan is faster
            -- than reading the hits.
            NOT r.is_rare AND a.is_exact AND (
                SELECT count(*) >= 40
                FROM (
                    SELECT
                        d.id,
                        d.entries
                    FROM listed AS d
                    ORDER BY
                        d.create_date DESC,
                        d.id DESC
                    LIMIT 50
                ) AS n
                WHERE EXISTS (
                        SELECT 1
                        FROM conversation_store.conversation_message AS m
                        WHERE m.tenant_id = :tenant_id::text
                            AND m.conversation_id = n.id
                            AND m.position <= n.entries
                            AND strpos(
                                conversation_store.fold(conversation_store.message_text(m.body)),
                                conversation_store.fold(:keywords::text)
                            ) > 0
                    )
            ) AS is_dense
        FROM asked AS a
        CROSS JOIN (
            SELECT
                b.has_keys
                AND (SELECT count(*) FROM (SELECT 1 FROM indexed LIMIT 1001) AS h) <= 1000 AS is_rare
            FROM asked AS b
        ) AS r
    ) AS w
),

-- Every message of the listed conversations is read, in whatever order is fastest.
scanned AS MATERIALIZED (
    SELECT m.id
    FROM listed AS m
    WHERE (SELECT y.by_scan FROM way AS y)
        AND (
            strpos(conversation_store.fold(m.id), conversation_store.fold(:keywords::text)) > 0
            OR strpos(conversation_store.fold(m.name), conversation_store.fold(:keywords::text)) > 0
        )
    UNION
    SELECT c.id
    FROM listed AS c
    INNER JOIN conversation_store.conversation_message AS m
        ON c.id = m.conversation_id AND c.entries >= m.position
    WHERE (SELECT y.by_scan FROM way AS y)
        AND m.tenant_id = :tenant_id::text
        AND strpos(
            conversation_store.fold(conversation_store.message_text(m.body)),
            conversation_store.fold(:keywords::text)
        ) > 0
),

-- Whether the scan found so few conversations that they are sorted for the page.
scan AS MATERIALIZED (
    SELECT
        y.by_scan
        AND (SELECT count(*) FROM (SELECT 1 FROM scanned LIMIT 1001) AS s) <= 1000 AS is_short
    FROM way AS y
),

-- The conversations in the order of the page that have the keyword. The order is a ladder: every
-- step but the chosen one folds away, and what is left is the order of an index.
in_order AS MATERIALIZED (
    SELECT
        w.id,
        row_number() OVER () AS ordinal
    FROM (
        SELECT
            o.id,
            o.name,
            o.entries,
            -- They are in order already: by a constant, nothing is sorted.
            sum(o.entries) OVER (ORDER BY TRUE ROWS UNBOUNDED PRECEDING) AS entries_so_far
        FROM (
            SELECT
                m.id,
                m.name,
                m.entries
            FROM listed AS m
            WHERE NOT (SELECT y.by_index FROM way AS y)
                AND NOT (SELECT q.is_short FROM scan AS q)
            ORDER BY
                CASE WHEN :orderby::text = 'name' AND :desc::boolean THEN m.start_of_name END DESC,
                CASE WHEN :orderby::text = 'name' AND NOT :desc::boolean THEN m.start_of_name END,
                CASE WHEN :orderby::text = 'create_date' AND :desc::boolean THEN m.create_date END DESC,
                CASE WHEN :orderby::text = 'create_date' AND NOT :desc::boolean THEN m.create_date END,
                CASE WHEN :orderby::text = 'update_date' AND :desc::boolean THEN m.update_date END DESC,
                CASE WHEN :orderby::text = 'update_date' AND NOT :desc::boolean THEN m.update_date END,
                CASE WHEN :orderby::text = 'tokens' AND :desc::boolean THEN m.tokens END DESC,
                CASE WHEN :orderby::text = 'tokens' AND NOT :desc::boolean THEN m.tokens END,
                CASE WHEN :orderby::text = 'duration' AND :desc::boolean THEN m.duration END DESC,
                CASE WHEN :orderby::text = 'duration' AND NOT :desc::boolean THEN m.duration END,
                CASE WHEN :orderby::text = 'round' AND :desc::boolean THEN m.round END DESC,
                CASE WHEN :orderby::text = 'round' AND NOT :desc::boolean THEN m.round END,
                CASE WHEN :orderby::text = 'thumb_up' AND :desc::boolean THEN m.thumb_up END DESC,
                CASE WHEN :orderby::text = 'thumb_up' AND NOT :desc::boolean THEN m.thumb_up END,
                CASE WHEN :desc::boolean THEN m.id END DESC,
                m.id
            LIMIT (
                SELECT CASE WHEN y.is_bounded THEN 1000 + 10 * least(a.needed, 1000000000) END
                FROM way AS y
                CROSS JOIN asked AS a
            )
        ) AS o
    ) AS w
    CROSS JOIN way AS b
    CROSS JOIN asked AS n
    WHERE (NOT b.is_bounded OR w.entries_so_far <= 10000 + 100 * least(n.needed, 1000000000))
        AND (
            strpos(conversation_store.fold(w.id), conversation_store.fold(:keywords::text)) > 0
            OR strpos(conversation_store.fold(w.name), conversation_store.fold(:keywords::text)) > 0
            OR EXISTS (
                SELECT 1
                FROM conversation_store.conversation_message AS m
                WHERE m.tenant_id = :tenant_id::text
                    AND m.conversation_id = w.id
                    AND m.position <= w.entries
                    AND strpos(
                        conversation_store.fold(conversation_store.message_text(m.body)),
                        conversation_store.fold(:keywords::text)
                    ) > 0
            )
        )
    -- Without a limit where few conversations are read to the end for an exact total.
    LIMIT (
        SELECT CASE WHEN NOT a.is_exact THEN a.needed WHEN y.by_scan THEN a.page_end END
        FROM way AS y
        CROSS JOIN asked AS a
    )
),

-- Whether what was read in order makes the page. It does not where a bound ended the reading.
ordered AS MATERIALIZED (
    SELECT
        NOT y.by_index
        AND NOT (SELECT q.is_short FROM scan AS q)
        AND (NOT y.is_bounded OR (SELECT count(*) FROM in_order) = a.needed) AS is_page
    FROM way AS y
    CROSS JOIN asked AS a
),

-- The conversations of the hits, each looked up by itself, whatever the planner knows of the dialog
-- (OFFSET 0). Entries beyond the count are left from longer lists and do not count.
found AS MATERIALIZED (
    SELECT
        c.id,
        c.start_of_name,
        c.tokens,
        c.duration,
        c.round,
        c.thumb_up,
        c.create_date,
        c.update_date
    FROM (
        SELECT
            i.id,
            min(i.position) AS position
        FROM indexed AS i
        WHERE NOT (SELECT o.is_page FROM ordered AS o)
            AND NOT (SELECT y.by_scan FROM way AS y)
        GROUP BY i.id
        UNION ALL
        SELECT
            s.id,
            0
        FROM scanned AS s
        WHERE (SELECT q.is_short FROM scan AS q)
    ) AS h
    CROSS JOIN
        LATERAL (
            SELECT
                m.id,
                m.dialog_id,
                m.user_id,
                m.exp_user_id,
                m.start_of_name,
                m.tokens,
                m.duration,
                m.round,
                m.thumb_up,
                m.create_date,
                m.update_date
            FROM matching AS m
            WHERE m.id = h.id
                AND m.entries >= h.position
            OFFSET 0
        ) AS c
    WHERE c.dialog_id = :dialog_id::text
        AND (:user_id::text IS NULL OR c.user_id = :user_id::text)
        AND (:exp_user_id::text IS NULL OR c.exp_user_id = :exp_user_id::text)
        AND (
            :from_date::timestamptz IS NULL
            OR CASE WHEN :date_field::text = 'update_date' THEN c.update_date ELSE c.create_date END
            >= :from_date::timestamptz
        )
        AND (
            :before_date::timestamptz IS NULL
            OR CASE WHEN :date_field::text = 'update_date' THEN c.update_date ELSE c.create_date END
            < :before_date::timestamptz
        )
),

page AS (
    SELECT
        o.id,
        o.ordinal
    FROM in_order AS o
    WHERE (SELECT d.is_page FROM ordered AS d)
        AND o.ordinal > :offset::bigint
        AND o.ordinal <= :offset::bigint + :limit::bigint
    UNION ALL
    SELECT
        p.id,
        row_number() OVER () AS ordinal
    FROM (
        SELECT f.id
        FROM found AS f
        ORDER BY
            CASE WHEN :orderby::text = 'name' AND :desc::boolean THEN f.start_of_name END DESC,
            CASE WHEN :orderby::text = 'name' AND NOT :desc::boolean THEN f.start_of_name END,
            CASE WHEN :orderby::text = 'create_date' AND :desc::boolean THEN f.create_date END DESC,
            CASE WHEN :orderby::text = 'create_date' AND NOT :desc::boolean THEN f.create_date END,
            CASE WHEN :orderby::text = 'update_date' AND :desc::boolean THEN f.update_date END DESC,
            CASE WHEN :orderby::text = 'update_date' AND NOT :desc::boolean THEN f.update_date END,
            CASE WHEN :orderby::text = 'tokens' AND :desc::boolean THEN f.tokens END DESC,
            CASE WHEN :orderby::text = 'tokens' AND NOT :desc::boolean THEN f.tokens END,
            CASE WHEN :orderby::text = 'duration' AND :desc::boolean THEN f.duration END DESC,
            CASE WHEN :orderby::text = 'duration' AND NOT :desc::boolean THEN f.duration END,
            CASE WHEN :orderby::text = 'round' AND :desc::boolean THEN f.round END DESC,
            CASE WHEN :orderby::text = 'round' AND NOT :desc::boolean THEN f.round END,
            CASE WHEN :orderby::text = 'thumb_up' AND :desc::boolean THEN f.thumb_up END DESC,
            CASE WHEN :orderby::text = 'thumb_up' AND NOT :desc::boolean THEN f.thumb_up END,
            CASE WHEN :desc::boolean THEN f.id END DESC,
            f.id
        LIMIT :limit::bigint OFFSET :offset::bigint
    ) AS p
),

counted AS MATERIALIZED (
    SELECT
        CASE
            WHEN :total::text = 'none' THEN NULL
            WHEN y.by_scan THEN (SELECT count(*) FROM scanned)
            WHEN o.is_page THEN (SELECT count(*) FROM in_order)
            ELSE (SELECT count(*) FROM found)
        END AS number
    FROM way AS y
    CROSS JOIN ordered AS o
)

SELECT
    least(t.number, CASE :total::text WHEN 'capped' THEN :total_limit::bigint END) AS total,
    s.id,
    s.tenant_id,
    s.dialog_id,
    s.name,
    s.user_id,
    s.exp_user_id,
    CASE
        WHEN NOT :include_messages::boolean THEN NULL
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
        WHEN NOT :include_reference::boolean THEN NULL
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
    CASE WHEN :include_dsl::boolean THEN s.dsl END AS dsl,
    s.duration,
    s.round,
    s.thumb_up,
    s.errors,
    s.version_title,
    s.create_date,
    s.update_date,
    s.revision
FROM counted AS t
LEFT JOIN page ON TRUE
LEFT JOIN conversation_store.conversation AS s ON page.id = s.id AND s.tenant_id = :tenant_id::text
ORDER BY page.ordinal
LIMIT greatest(:limit::bigint, 1);
