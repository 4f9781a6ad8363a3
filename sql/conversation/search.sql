/* conversation.search */
-- Return a tenant's conversations in which a keyword occurs, newest first.
--
-- Each comes with its latest message that has the keyword; position 0: the id or the name has it.
--
-- A rare keyword by conversation_message_search_idx and conversation_search_idx; a common one by
-- a walk over the conversations from the newest on (get_list_by_keywords.sql says why), by
-- conversation_tenant_id_create_date_idx, of one dialog by
-- conversation_dialog_id_tenant_id_create_date_id_idx, of one user by
-- conversation_tenant_id_user_id_create_date_id_idx.
-- returns: many
-- plan: custom

-- Computed as far as it is read: its first rows, or all.
WITH hits AS MATERIALIZED (
    SELECT
        m.conversation_id AS id,
        m.position
    FROM conversation_store.conversation_message AS m
    WHERE m.tenant_id = :tenant_id::text
        AND (:dialog_ids::text[] IS NULL OR m.dialog_id = ANY(:dialog_ids::text[]))
        AND conversation_store.search_keys(m.tenant_id, m.dialog_id, conversation_store.message_text(m.body))
        @> conversation_store.keys_in_dialogs(:tenant_id::text, :dialog_ids::text[], :keywords::text)
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

way AS MATERIALIZED (
    SELECT
        k.is_served
        AND (SELECT count(*) FROM (SELECT 1 FROM hits LIMIT 1001) AS first_hits) <= 1000 AS by_hits,
        CASE
            WHEN k.is_served AND h.has_room
                THEN 1000 + 10 * :limit::bigint
        END AS most_conversations,
        CASE
            WHEN k.is_served AND h.has_room
                THEN 10000 + 100 * :limit::bigint
        END AS most_entries
    FROM (
        SELECT
            conversation_store.keys_in_dialogs(:tenant_id::text, :dialog_ids::text[], :keywords::text)
            IS NOT NULL AS is_served
    ) AS k
    CROSS JOIN (SELECT conversation_store.bitmap_fits() AS has_room) AS h
),

matching AS NOT MATERIALIZED (
    SELECT
        c.id,
        c.name,
        c.create_date,
        CASE WHEN c.message_count >= 0 THEN c.message_count ELSE 1 END AS entries
    FROM conversation_store.conversation AS c
    -- Planned for its actual values, see get_list.sql.
    WHERE (:tenant_id::text IS NOT NULL OR conversation_store.force_custom_plan(c.id))
        AND c.tenant_id = :tenant_id::text
        -- Of one dialog the index has the order; both conditions together would look like far fewer rows.
        AND (
            :dialog_ids::text[] IS NULL
            OR (cardinality(:dialog_ids::text[]) = 1 AND c.dialog_id = (:dialog_ids::text[])[1])
            OR (cardinality(:dialog_ids::text[]) <> 1 AND c.dialog_id = ANY(:dialog_ids::text[]))
        )
        AND (
            (:user_id::text IS NULL AND :exp_user_id::text IS NULL)
            OR c.user_id = :user_id::text
            OR c.exp_user_id = :exp_user_id::text
        )
        AND (:from_date::timestamptz IS NULL OR c.create_date >= :from_date::timestamptz)
        AND (:before_date::timestamptz IS NULL OR c.create_date < :before_date::timestamptz)
        AND (
            :after_id::text IS NULL
            OR (c.create_date, c.id) < (:after_key::text::timestamptz, :after_id::text)
        )
),

walked AS MATERIALIZED (
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
            FROM matching AS m
            WHERE NOT (SELECT y.by_hits FROM way AS y)
                AND m.create_date >= '-infinity' -- the condition of the index, see stats.sql
            ORDER BY
                m.create_date DESC,
                m.id DESC
            LIMIT (SELECT y.most_conversations FROM way AS y)
        ) AS o
    ) AS w
    CROSS JOIN way AS bounds
    LEFT JOIN LATERAL (
        SELECT m.position
        FROM conversation_store.conversation_message AS m
        WHERE m.tenant_id = :tenant_id::text
            AND m.conversation_id = w.id
            AND m.position <= w.entries
            AND (bounds.most_entries IS NULL OR w.entries_so_far <= bounds.most_entries)
            AND strpos(
                conversation_store.fold(conversation_store.message_text(m.body)),
                conversation_store.fold(:keywords::text)
            ) > 0
        ORDER BY m.position DESC
        LIMIT 1
    ) AS latest ON TRUE
    WHERE (bounds.most_entries IS NULL OR w.entries_so_far <= bounds.most_entries)
        AND (
            latest.position IS NOT NULL
            OR strpos(conversation_store.fold(w.id), conversation_store.fold(:keywords::text)) > 0
            OR strpos(conversation_store.fold(w.name), conversation_store.fold(:keywords::text)) > 0
        )
    LIMIT :limit::bigint
),

walk AS MATERIALIZED (
    SELECT
        NOT y.by_hits
        AND (y.most_entries IS NULL OR (SELECT count(*) FROM walked) = :limit::bigint) AS is_enough
    FROM way AS y
),

page AS (
    SELECT
        w.id,
        w.position
    FROM walked AS w
    WHERE (SELECT k.is_enough FROM walk AS k)
    UNION ALL
    SELECT
        f.id,
        f.position
    FROM (
        SELECT
            m.id,
            latest.position
        FROM (
            SELECT
                h.id,
                array_agg(h.position) AS positions
            FROM hits AS h
            WHERE NOT (SELECT k.is_enough FROM walk AS k)
            GROUP BY h.id
        ) AS g
        INNER JOIN matching AS m ON g.id = m.id
        -- Entries beyond the count are left from longer lists and do not count.
        CROSS JOIN
            LATERAL (
                SELECT max(u.position) AS position
                FROM unnest(g.positions) AS u (position)
                WHERE u.position <= m.entries
            ) AS latest
        WHERE latest.position IS NOT NULL
        ORDER BY
            m.create_date DESC,
            m.id DESC
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
