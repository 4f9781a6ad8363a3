/* conversation.get_list_by_keywords */
-- Return one page of a dialog's conversations, and how many match over all pages.
--
-- What get_list and list_after run when keywords are given. The indexes
-- conversation_message_search_idx and conversation_search_idx narrow to texts that have every
-- pair of neighbours of the keyword; strpos decides.
--
-- A rare keyword: what the indexes find is read, and makes the page and the total. A common one,
-- and one without a pair, such as a single letter: the conversations are walked in the order of
-- the page, their messages read until one has the keyword, and the walk ends with the page. Where
-- the indexes can be read after it, the walk is bounded: when it ends before the page is full,
-- as for a word that only old conversations have, everything that the indexes find is read
-- too. One row with NULLs and the total when the page is empty.
-- returns: many
-- plan: custom

-- A common table expression is computed as far as it is read: its first rows, or all. The id and
-- the name are texts of their own: a keyword across their boundary finds nothing.
WITH hits AS MATERIALIZED (
    SELECT
        m.conversation_id AS id,
        m.position
    FROM conversation_store.conversation_message AS m
    WHERE m.tenant_id = :tenant_id::text
        AND m.dialog_id = :dialog_id::text
        AND conversation_store.search_keys(m.tenant_id, m.dialog_id, conversation_store.message_text(m.body))
        @> conversation_store.keys_in_dialog(:tenant_id::text, :dialog_id::text, :keywords::text)
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

-- For an exact total all hits are read, unless a bitmap of them may not fit into work_mem: for
-- each row of a page of which the bitmap has lost the rows, the keys are computed again. The walk
-- ends when it has found what is wanted, or at its bounds; NULL: it has none.
way AS MATERIALIZED (
    SELECT
        k.is_served AND (
            (h.has_room AND :total::text = 'exact')
            OR (SELECT count(*) FROM (SELECT 1 FROM hits LIMIT 1001) AS first_hits) <= 1000
        ) AS by_hits,
        n.wanted,
        CASE
            WHEN k.is_served AND h.has_room
                THEN 1000 + 10 * least(n.wanted, 1000000000)
        END AS most_conversations,
        CASE
            WHEN k.is_served AND h.has_room
                THEN 10000 + 100 * least(n.wanted, 1000000000)
        END AS most_entries
    FROM (
        SELECT
            conversation_store.keys_in_dialog(:tenant_id::text, :dialog_id::text, :keywords::text) IS NOT NULL
                AS is_served
    ) AS k
    CROSS JOIN (SELECT conversation_store.bitmap_fits() AS has_room) AS h
    CROSS JOIN (
        SELECT
            CASE :total::text
                WHEN 'exact' THEN NULL
                WHEN 'capped' THEN greatest(:total_limit::bigint, :offset::bigint + :limit::bigint)
                ELSE :offset::bigint + :limit::bigint
            END AS wanted
    ) AS n
),

matching AS NOT MATERIALIZED (
    SELECT
        c.id,
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
        AND c.dialog_id = :dialog_id::text
        -- A subquery hides the id from the planner: of one that many tenants have it would expect
        -- many rows, and walk the dialog for the one that conversation_pkey finds.
        AND (:id::text IS NULL OR c.id = (SELECT :id::text))
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

-- The conversations that match, in order, until there are enough. The order is a ladder: every
-- step but the chosen one folds away, and what is left is the order of an index.
walked AS MATERIALIZED (
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
            FROM matching AS m
            WHERE NOT (SELECT y.by_hits FROM way AS y)
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
            LIMIT (SELECT y.most_conversations FROM way AS y)
        ) AS o
    ) AS w
    CROSS JOIN way AS bounds
    WHERE (bounds.most_entries IS NULL OR w.entries_so_far <= bounds.most_entries)
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
    LIMIT (SELECT y.wanted FROM way AS y)
),

walk AS MATERIALIZED (
    SELECT
        NOT y.by_hits
        AND (y.most_entries IS NULL OR (SELECT count(*) FROM walked) = y.wanted) AS is_enough
    FROM way AS y
),

-- Entries beyond the count are left from longer lists and do not count.
found AS MATERIALIZED (
    SELECT
        m.id,
        m.start_of_name,
        m.tokens,
        m.duration,
        m.round,
        m.thumb_up,
        m.create_date,
        m.update_date
    FROM (
        SELECT
            h.id,
            min(h.position) AS position
        FROM hits AS h
        WHERE NOT (SELECT k.is_enough FROM walk AS k)
        GROUP BY h.id
    ) AS f
    INNER JOIN matching AS m ON f.id = m.id AND f.position <= m.entries
),

page AS (
    SELECT
        w.id,
        w.ordinal
    FROM walked AS w
    WHERE (SELECT k.is_enough FROM walk AS k)
        AND w.ordinal > :offset::bigint
        AND w.ordinal <= :offset::bigint + :limit::bigint
    UNION ALL
    SELECT
        p.id,
        row_number() OVER () AS ordinal
    FROM (
        SELECT m.id
        FROM found AS m
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
        LIMIT :limit::bigint OFFSET :offset::bigint
    ) AS p
)

SELECT
    CASE
        WHEN :total::text = 'none' THEN NULL
        WHEN (SELECT k.is_enough FROM walk AS k)
            THEN (
                SELECT least(count(*), CASE WHEN :total::text = 'capped' THEN :total_limit::bigint END)
                FROM walked
            )
        ELSE (
            SELECT count(*)
            FROM (
                SELECT m.id
                FROM found AS m
                LIMIT CASE :total::text WHEN 'capped' THEN :total_limit::bigint END
            ) AS counted
        )
    END AS total,
    s.id,
    s.tenant_id,
    s.dialog_id,
    s.name,
    s.user_id,
    s.exp_user_id,
    CASE
        WHEN NOT :include_messages::boolean THEN NULL
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
        WHEN NOT :include_reference::boolean THEN NULL
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
    CASE WHEN :include_dsl::boolean THEN s.dsl END AS dsl,
    s.duration,
    s.round,
    s.thumb_up,
    s.errors,
    s.version_title,
    s.create_date,
    s.update_date,
    s.revision
FROM (VALUES (TRUE)) AS always (there)
LEFT JOIN page ON always.there
LEFT JOIN conversation_store.conversation AS s ON page.id = s.id AND s.tenant_id = :tenant_id::text
ORDER BY page.ordinal
LIMIT greatest(:limit::bigint, 1);
