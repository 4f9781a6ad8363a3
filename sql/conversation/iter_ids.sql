/* conversation.iter_ids */
-- List one page of a walk over the ids of any number of conversations, by dialog, creation date and id.
--
-- The page of iter.sql, from the indexes alone: of each dialog a range of
-- conversation_dialog_id_tenant_id_create_date_id_idx, the dialogs in order by
-- dialog_tenant_id_id_idx. The position is the last row of the page before; NULL for the first
-- page.
-- returns: many
-- plan: custom
-- index: dialog_tenant_id_id_idx, conversation_dialog_id_tenant_id_create_date_id_idx
-- sorts: of each dialog the rows that may be on the page

SELECT
    c.id,
    d.id AS dialog_id,
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
LIMIT :limit::bigint;
