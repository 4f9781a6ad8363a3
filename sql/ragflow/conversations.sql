/* ragflow.conversations */
-- Return the conversations with these ids, their JSON as the text that it is there.
--
-- Run on the database to move from. Its dates are the wall clock of its server.
-- returns: many
-- index: api_4_conversation_pkey
-- lint: L13, since the table is one of RAGFlow

SELECT
    s.id::text AS id,
    s.dialog_id::text AS dialog_id,
    s.name::text AS name,
    s.user_id::text AS user_id,
    s.exp_user_id::text AS exp_user_id,
    s.message::text AS message,
    s.reference::text AS reference,
    s.tokens::bigint AS tokens,
    s.source::text AS source,
    s.dsl::text AS dsl,
    s.duration::text::double precision AS duration,
    s.round::bigint AS round,
    s.thumb_up::bigint AS thumb_up,
    s.errors::text AS errors,
    s.version_title::text AS version_title,
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
FROM public.api_4_conversation AS s
WHERE s.id = ANY(:ids::text[])
ORDER BY s.id;
