/* ragflow.dialogs */
-- List one page of the assistants.
--
-- Run on the database to move from. Its dates are the wall clock of its server.
-- returns: many
-- index: dialog_pkey
-- lint: L13, since the table is one of RAGFlow

SELECT
    s.id::text AS id,
    s.tenant_id::text AS tenant_id,
    s.name::text AS name,
    FALSE AS is_dialog,
    s.create_time::bigint AS create_time,
    s.update_time::bigint AS update_time,
    -- What lies outside of the calendar is no date.
    CASE
        WHEN s.create_date::timestamp BETWEEN '0001-01-02' AND '9999-12-30'
            THEN s.create_date::timestamp
    END AS create_date,
    CASE
        WHEN s.update_date::timestamp BETWEEN '0001-01-02' AND '9999-12-30'
            THEN s.update_date::timestamp
    END AS update_date
FROM public.dialog AS s
WHERE :after_id::text IS NULL
    OR s.id > :after_id::text
ORDER BY s.id
LIMIT :limit::bigint;
