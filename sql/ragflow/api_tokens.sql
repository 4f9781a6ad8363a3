/* ragflow.api_tokens */
-- List one page of the tokens, the oldest first.
--
-- Run on the database to move from. Of a token under two tenants the older comes first,
-- and so keeps it. The position is the three sort keys of the last row before.
-- returns: many
-- index: none
-- scans: api_token, since no index there has the order
-- sorts: all tokens that are there, in an order that no index has
-- lint: L13, since the table is one of RAGFlow

SELECT
    s.tenant_id::text AS tenant_id,
    s.token::text AS token,
    s.dialog_id::text AS dialog_id,
    s.source::text AS source,
    s.beta::text AS beta,
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
    END AS update_date,
    coalesce(s.create_date::timestamp, 'infinity')::text AS position
FROM public.api_token AS s
WHERE :after_token::text IS NULL
    OR (coalesce(s.create_date::timestamp, 'infinity'), s.tenant_id, s.token)
    > (:after_position::text::timestamp, :after_tenant_id::text, :after_token::text)
ORDER BY
    coalesce(s.create_date::timestamp, 'infinity'),
    s.tenant_id,
    s.token
LIMIT :limit::bigint;
