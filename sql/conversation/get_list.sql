/* conversation.get_list */
-- Return one page of a dialog's conversations, and how many match over all pages.
--
-- In order of create_date or update_date, either direction: a range of
-- conversation_dialog_id_tenant_id_create_date_id_idx or its twin for update_date; other orders
-- sort the dialog. The total without a filter is a range of conversation_tenant_id_dialog_id_idx.
-- An id is looked up by conversation_pkey. One row with NULLs and the total when the page is
-- empty. With a keyword, get_list_by_keywords.sql runs in its place, and without any filter
-- get_list_by_create_date.sql, get_list_by_update_date.sql, or their twins for the oldest first.
--
-- list_after is this statement too: its page begins after a position, the sort key and the
-- id of the last row before, where those of get_list begin at an offset. The position is a
-- row value in the order of the index, so that a page costs the same wherever it is. Of a
-- name its first 200 characters are the key, so that a position is never long.
-- returns: many
-- not_null: id, tenant_id, dialog_id, user_id, tokens, duration, round, thumb_up, create_date,
--   update_date, revision, since a row without an id stands for an empty page, of which the total
--   alone is read
-- plan: custom
-- index: conversation_tenant_id_dialog_id_idx,
--   conversation_dialog_id_tenant_id_create_date_id_idx,
--   conversation_dialog_id_tenant_id_update_date_id_idx,
--   conversation_tenant_id_user_id_create_date_id_idx,
--   conversation_tenant_id_dialog_id_exp_user_id_idx, conversation_pkey,
--   conversation_message_pkey, conversation_reference_pkey
-- sorts: the page, and for another order than by a date or the id the whole dialog

WITH matching AS NOT MATERIALIZED (
    SELECT
        c.id,
        left(coalesce(c.name, ''), 200) AS start_of_name,
        c.tokens,
        c.duration,
        c.round,
        c.thumb_up,
        c.create_date,
        c.update_date
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
),

-- The page is cut before anything is fetched. The order is a ladder: every step but the
-- chosen one folds away, and what is left is the order of an index.
page AS (
    SELECT
        p.id,
        row_number() OVER () AS ordinal
    FROM (
        SELECT m.id
        FROM matching AS m
        WHERE :after_id::text IS NULL
            OR CASE
                WHEN :orderby::text = 'id' AND :desc::boolean
                    THEN m.id < :after_id::text
                WHEN :orderby::text = 'id'
                    THEN m.id > :after_id::text
                WHEN :orderby::text = 'name' AND :desc::boolean
                    THEN (m.start_of_name, m.id) < (:after_key::text, :after_id::text)
                WHEN :orderby::text = 'name'
                    THEN (m.start_of_name, m.id) > (:after_key::text, :after_id::text)
                WHEN :orderby::text = 'create_date' AND :desc::boolean
                    THEN (m.create_date, m.id) < (:after_key::text::timestamptz, :after_id::text)
                WHEN :orderby::text = 'create_date'
                    THEN (m.create_date, m.id) > (:after_key::text::timestamptz, :after_id::text)
                WHEN :orderby::text = 'update_date' AND :desc::boolean
                    THEN (m.update_date, m.id) < (:after_key::text::timestamptz, :after_id::text)
                WHEN :orderby::text = 'update_date'
                    THEN (m.update_date, m.id) > (:after_key::text::timestamptz, :after_id::text)
                WHEN :orderby::text = 'tokens' AND :desc::boolean
                    THEN (m.tokens, m.id) < (:after_key::text::bigint, :after_id::text)
                WHEN :orderby::text = 'tokens'
                    THEN (m.tokens, m.id) > (:after_key::text::bigint, :after_id::text)
                WHEN :orderby::text = 'duration' AND :desc::boolean
                    THEN (m.duration, m.id) < (:after_key::text::double precision, :after_id::text)
                WHEN :orderby::text = 'duration'
                    THEN (m.duration, m.id) > (:after_key::text::double precision, :after_id::text)
                WHEN :orderby::text = 'round' AND :desc::boolean
                    THEN (m.round, m.id) < (:after_key::text::integer, :after_id::text)
                WHEN :orderby::text = 'round'
                    THEN (m.round, m.id) > (:after_key::text::integer, :after_id::text)
                WHEN :orderby::text = 'thumb_up' AND :desc::boolean
                    THEN (m.thumb_up, m.id) < (:after_key::text::integer, :after_id::text)
                WHEN :orderby::text = 'thumb_up'
                    THEN (m.thumb_up, m.id) > (:after_key::text::integer, :after_id::text)
            END
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

-- The total survives an empty page. It is counted to the end, up to a limit, or not at all. No id
-- is empty: that is the condition of conversation_tenant_id_dialog_id_idx, which the planner
-- takes only where a statement repeats it.
SELECT
    CASE
        WHEN :total::text = 'exact'
            THEN (
                SELECT count(*)
                FROM matching AS m
                WHERE (m.id <> '') IS TRUE
            )
        WHEN :total::text = 'capped'
            THEN (
                SELECT count(*)
                FROM (
                    SELECT m.id
                    FROM matching AS m
                    WHERE (m.id <> '') IS TRUE
                    LIMIT :total_limit::bigint
                ) AS capped
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
FROM (VALUES (TRUE)) AS always (there)
LEFT JOIN page ON always.there
LEFT JOIN conversation_store.conversation AS s ON page.id = s.id AND s.tenant_id = :tenant_id::text
ORDER BY page.ordinal
-- With a limit here, entries are fetched after the sort and not carried through it.
LIMIT greatest(:limit::bigint, 1);
