/* conversation.search */
-- Return a tenant's conversations in which a keyword occurs, newest first.
--
-- Each comes with its latest message that has the keyword; position 0: the id or the name has it.
--
-- The ways to the page are those of get_list_by_keywords.sql, without a total: what
-- conversation_message_search_idx and conversation_search_idx find, or, for a common keyword,
-- the conversations from the newest on, by conversation_tenant_id_create_date_idx, of one dialog
-- by conversation_dialog_id_tenant_id_create_date_id_idx, of one user by
-- conversation_tenant_id_user_id_create_date_id_idx.
-- returns: many
-- not_null: position, since each part of the page has one, and latest.position is 0 where there
--   is none
-- plan: custom
-- index: conversation_message_search_idx, conversation_search_idx,
--   conversation_tenant_id_dialog_id_exp_user_id_idx,
--   conversation_tenant_id_user_id_create_date_id_idx, conversation_tenant_id_create_date_idx,
--   conversation_pkey, conversation_message_pkey,
--   conversation_dialog_id_tenant_id_create_date_id_idx or
--   conversation_dialog_id_tenant_id_update_date_id_idx
-- sorts: the page, and what has a rare keyword
-- lint: L06, since each id comes from one group of hits, and is looked up once
-- lint: L09, since search_keys narrows by an index, and the folded text decides

-- What is known before anything is read.
WITH asked AS MATERIALIZED (
    SELECT
        conversation_store.keys_in_dialogs(:tenant_id::text, :dialog_ids::text[], :keywords::text)
        IS NOT NULL AS has_keys,
        conversation_store.bitmap_fits() AS has_room
),

-- The texts that have the keyword, one by one as they are asked for, see get_list_by_keywords.sql.
indexed AS MATERIALIZED (
    SELECT
        m.conversation_id AS id,
        m.position
    FROM conversation_store.conversation_message AS m
    WHERE m.tenant_id = :tenant_id::text
        AND (:dialog_ids::text[] IS NULL OR m.dialog_id = ANY(:dialog_ids::text[]))
        AND conversation_store.search_keys(m.tenant_id, m.dialog_id, conversation_store.message_text(m.body))
        @> conversation_store.keys_apart(
            conversation_store.keys_in_dialogs(:tenant_id::text, :dialog_ids::text[], :keywords::text), 1
        )
        AND conversation_store.search_keys(m.tenant_id, m.dialog_id, conversation_store.message_text(m.body))
        @> conversation_store.keys_apart(
            conversation_store.keys_in_dialogs(:tenant_id::text, :dialog_ids::text[], :keywords::text), 2
        )
        AND conversation_store.search_keys(m.tenant_id, m.dialog_id, conversation_store.message_text(m.body))
        @> conversation_store.keys_apart(
            conversation_store.keys_in_dialogs(:tenant_id::text, :dialog_ids::text[], :keywords::text), 3
        )
        AND conversation_store.search_keys(m.tenant_id, m.dialog_id, conversation_store.message_text(m.body))
        @> conversation_store.keys_apart(
            conversation_store.keys_in_dialogs(:tenant_id::text, :dialog_ids::text[], :keywords::text), 4
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
        AND (:dialog_ids::text[] IS NULL OR n.dialog_id = ANY(:dialog_ids::text[]))
        AND conversation_store.search_keys(n.tenant_id, n.dialog_id, n.id || E'\n' || coalesce(n.name, ''))
        @> conversation_store.keys_in_dialogs(:tenant_id::text, :dialog_ids::text[], :keywords::text)
        AND (
            strpos(conversation_store.fold(n.id), conversation_store.fold(:keywords::text)) > 0
            OR strpos(conversation_store.fold(n.name), conversation_store.fold(:keywords::text)) > 0
        )
),

-- Conversations of all dialogs, whoever's and whenever, see get_list_by_keywords.sql.
matching AS NOT MATERIALIZED (
    SELECT
        c.id,
        c.dialog_id,
        c.user_id,
        c.exp_user_id,
        c.name,
        c.create_date,
        CASE WHEN c.message_count >= 0 THEN c.message_count ELSE 1 END AS entries
    FROM conversation_store.conversation AS c
    -- Planned for its actual values, see get_list.sql.
    WHERE (:tenant_id::text IS NOT NULL OR conversation_store.force_custom_plan(c.id))
        AND c.tenant_id = :tenant_id::text
        AND (
            :after_id::text IS NULL
            OR (c.create_date, c.id) < (:after_key::text::timestamptz, :after_id::text)
        )
),

-- Those of the dialogs that the filters leave. The condition on the date is that of the index, see stats.sql.
listed AS NOT MATERIALIZED (
    SELECT
        m.id,
        m.name,
        m.create_date,
        m.entries
    FROM matching AS m
    WHERE m.create_date >= '-infinity'
        -- Of one dialog the index has the order; both conditions together would look like far fewer rows.
        AND (
            :dialog_ids::text[] IS NULL
            OR (cardinality(:dialog_ids::text[]) = 1 AND m.dialog_id = (:dialog_ids::text[])[1])
            OR (cardinality(:dialog_ids::text[]) <> 1 AND m.dialog_id = ANY(:dialog_ids::text[]))
        )
        AND (
            (:user_id::text IS NULL AND :exp_user_id::text IS NULL)
            OR m.user_id = :user_id::text
            OR m.exp_user_id = :exp_user_id::text
        )
        AND (:from_date::timestamptz IS NULL OR m.create_date >= :from_date::timestamptz)
        AND (:before_date::timestamptz IS NULL OR m.create_date < :before_date::timestamptz)
),

-- Which way is taken. Few conversations, of few messages, are read in order to the end.
way AS MATERIALIZED (
    SELECT
        w.is_rare AS by_index,
        NOT w.are_few AND w.has_keys AND w.has_room AS is_bounded
    FROM (
        SELECT
            r.is_rare,
            a.has_keys,
            a.has_room,
            NOT r.is_rare AND (
                SELECT count(*) <= 1000 AND coalesce(sum(f.entries), 0) <= 10000
                FROM (
                    SELECT m.entries
                    FROM listed AS m
                    ORDER BY -- by the index of the order, and not by a scan of the table
                        m.create_date DESC,
                        m.id DESC
                    LIMIT 1001
                ) AS f
            ) AS are_few
        FROM asked AS a
        CROSS JOIN (
            SELECT
                b.has_keys
                AND (SELECT count(*) FROM (SELECT 1 FROM indexed LIMIT 1001) AS h) <= 1000 AS is_rare
            FROM asked AS b
        ) AS r
    ) AS w
),

-- The newest conversations that have the keyword.
in_order AS MATERIALIZED (
    SELECT
        w.id,
        coalesce(latest.position, 0) AS position
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
            ORDER BY
                m.create_date DESC,
                m.id DESC
            LIMIT (SELECT CASE WHEN y.is_bounded THEN 1000 + 10 * :limit::bigint END FROM way AS y)
        ) AS o
    ) AS w
    CROSS JOIN way AS b
    LEFT JOIN LATERAL (
        SELECT m.position
        FROM conversation_store.conversation_message AS m
        WHERE m.tenant_id = :tenant_id::text
            AND m.conversation_id = w.id
            AND m.position <= w.entries
            AND (NOT b.is_bounded OR w.entries_so_far <= 10000 + 100 * :limit::bigint)
            AND strpos(
                conversation_store.fold(conversation_store.message_text(m.body)),
                conversation_store.fold(:keywords::text)
            ) > 0
        ORDER BY m.position DESC
        LIMIT 1
    ) AS latest ON TRUE
    WHERE (NOT b.is_bounded OR w.entries_so_far <= 10000 + 100 * :limit::bigint)
        AND (
            latest.position IS NOT NULL
            OR strpos(conversation_store.fold(w.id), conversation_store.fold(:keywords::text)) > 0
            OR strpos(conversation_store.fold(w.name), conversation_store.fold(:keywords::text)) > 0
        )
    LIMIT :limit::bigint
),

-- Whether what was read in order makes the page. It does not where a bound ended the reading.
ordered AS MATERIALIZED (
    SELECT
        NOT y.by_index
        AND (NOT y.is_bounded OR (SELECT count(*) FROM in_order) = :limit::bigint) AS is_page
    FROM way AS y
),

page AS (
    SELECT
        o.id,
        o.position
    FROM in_order AS o
    WHERE (SELECT d.is_page FROM ordered AS d)
    UNION ALL
    SELECT
        f.id,
        f.position
    FROM (
        SELECT
            c.id,
            c.position
        FROM (
            SELECT
                i.id,
                array_agg(i.position) AS positions
            FROM indexed AS i
            WHERE NOT (SELECT d.is_page FROM ordered AS d)
            GROUP BY i.id
        ) AS h
        -- Looked up by conversation_pkey, see get_list_by_keywords.sql.
        CROSS JOIN
            LATERAL (
                SELECT
                    m.id,
                    m.user_id,
                    m.exp_user_id,
                    m.create_date,
                    -- Entries beyond the count are left from longer lists and do not count.
                    (
                        SELECT max(u.position)
                        FROM unnest(h.positions) AS u (position)
                        WHERE u.position <= m.entries
                    ) AS position
                FROM matching AS m
                WHERE m.id = h.id
                OFFSET 0
            ) AS c
        WHERE c.position IS NOT NULL
            AND (
                (:user_id::text IS NULL AND :exp_user_id::text IS NULL)
                OR c.user_id = :user_id::text
                OR c.exp_user_id = :exp_user_id::text
            )
            AND (:from_date::timestamptz IS NULL OR c.create_date >= :from_date::timestamptz)
            AND (:before_date::timestamptz IS NULL OR c.create_date < :before_date::timestamptz)
        ORDER BY
            c.create_date DESC,
            c.id DESC
        LIMIT :limit::bigint
    ) AS f
)

SELECT
    p.position,
    conversation_store.excerpt(
        CASE
            WHEN p.position > 0
                THEN (
                    SELECT conversation_store.message_text(m.body)
                    FROM conversation_store.conversation_message AS m
                    WHERE m.tenant_id = :tenant_id::text
                        AND m.conversation_id = p.id
                        AND m.position = p.position
                )
            WHEN strpos(conversation_store.fold(s.name), conversation_store.fold(:keywords::text)) > 0
                THEN s.name
            ELSE s.id
        END,
        :keywords::text
    ) AS excerpt,
    s.id,
    s.tenant_id,
    s.dialog_id,
    s.name,
    s.user_id,
    s.exp_user_id,
    NULL::json AS message,
    NULL::json AS reference,
    s.tokens,
    s.source,
    NULL::json AS dsl,
    s.duration,
    s.round,
    s.thumb_up,
    s.errors,
    s.version_title,
    s.create_date,
    s.update_date,
    s.revision
FROM page AS p
INNER JOIN conversation_store.conversation AS s ON p.id = s.id AND s.tenant_id = :tenant_id::text
ORDER BY
    s.create_date DESC,
    s.id DESC
LIMIT :limit::bigint;
