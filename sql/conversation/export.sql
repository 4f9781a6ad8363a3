/* conversation.export */
-- List one page of an export, by dialog, creation date and id.
--
-- The statement of iter.sql, whose rows are lines of JSON here: what is stored goes out as it is,
-- and nobody parses it. The client writes the id, the dates and the duration before them: how the
-- server writes dates and floats in JSON is for settings of the session to say.
-- returns: many
-- not_null: line, since it is a row as JSON, one for each row of the page
-- plan: custom
-- index: dialog_tenant_id_id_idx, conversation_dialog_id_tenant_id_create_date_id_idx,
--   conversation_pkey, conversation_message_pkey, conversation_reference_pkey
-- sorts: the page, and of each dialog the rows that may be on it

WITH page AS MATERIALIZED (
    SELECT
        d.id AS dialog_id,
        c.id,
        c.create_date
    FROM conversation_store.dialog AS d
    CROSS JOIN
        LATERAL (
            SELECT
                o.id,
                o.create_date
            FROM conversation_store.conversation AS o
            WHERE o.tenant_id = :tenant_id::text
                AND o.dialog_id = d.id
                -- Only of the dialog that the position is in is a part behind us.
                AND (o.create_date, o.id) > (
                    CASE
                        WHEN d.id = :after_dialog_id::text THEN :after_create_date::timestamptz
                        ELSE '-infinity'
                    END,
                    CASE
                        WHEN d.id = :after_dialog_id::text THEN :after_id::text
                        ELSE ''
                    END
                )
            ORDER BY
                o.create_date,
                o.id
            LIMIT :limit::bigint
        ) AS c
    -- Planned for its actual values, see get_list.sql.
    WHERE (:limit::bigint IS NOT NULL OR conversation_store.force_custom_plan(d.id))
        AND (:after_dialog_id::text IS NULL OR d.id >= :after_dialog_id::text)
        AND d.tenant_id = :tenant_id::text
        AND (:dialog_id::text IS NULL OR d.id = :dialog_id::text)
    ORDER BY
        d.id,
        c.create_date,
        c.id
    LIMIT :limit::bigint
)

SELECT
    c.id,
    c.dialog_id,
    c.create_date,
    c.update_date,
    c.duration,
    (
        SELECT row_to_json(l)::text
        FROM (
            SELECT
                c.tenant_id,
                c.dialog_id,
                c.name,
                c.user_id,
                c.exp_user_id,
                c.tokens,
                c.source,
                c.round,
                c.thumb_up,
                c.errors,
                c.version_title,
                c.revision,
                CASE
                    WHEN c.message_count = 0 THEN '[]'
                    ELSE (
                        SELECT
                            CASE
                                WHEN
                                    c.message_count > 0
                                    THEN coalesce(json_agg(m.body ORDER BY m.position), '[]')
                                ELSE json_agg(m.body ORDER BY m.position) -> 0
                            END
                        FROM conversation_store.conversation_message AS m
                        WHERE m.tenant_id = :tenant_id::text
                            AND m.conversation_id = c.id
                            AND m.position <= greatest(c.message_count, 1)
                    )
                END AS message,
                CASE
                    WHEN c.reference_count = 0 THEN '[]'
                    ELSE (
                        SELECT
                            CASE
                                WHEN
                                    c.reference_count > 0
                                    THEN coalesce(json_agg(r.body ORDER BY r.position), '[]')
                                ELSE json_agg(r.body ORDER BY r.position) -> 0
                            END
                        FROM conversation_store.conversation_reference AS r
                        WHERE r.tenant_id = :tenant_id::text
                            AND r.conversation_id = c.id
                            AND r.position <= greatest(c.reference_count, 1)
                    )
                END AS reference,
                c.dsl
        ) AS l
    ) AS line
FROM page AS p
INNER JOIN conversation_store.conversation AS c ON p.id = c.id AND c.tenant_id = :tenant_id::text
ORDER BY
    p.dialog_id,
    p.create_date,
    p.id
-- With a limit here, entries are fetched after the sort and not carried through it.
LIMIT :limit::bigint;
