/* ragflow.conversation_ids */
-- List one page of the conversations without their contents.
--
-- Run on the database to move from. What was imported already is not read again. Its dates are
-- the wall clock of its server.
-- returns: many
-- index: api_4_conversation_pkey
-- lint: L13, since the table is one of RAGFlow

SELECT
    s.id::text AS id,
    s.dialog_id::text AS dialog_id,
    s.update_time::bigint AS update_time,
    -- What lies outside of the calendar is no date.
    CASE
        WHEN s.update_date::timestamp BETWEEN '0001-01-02' AND '9999-12-30'
            THEN s.update_date::timestamp
    END AS update_date
FROM public.api_4_conversation AS s
WHERE :after_id::text IS NULL
    OR s.id > :after_id::text
ORDER BY s.id
LIMIT :limit::bigint;
