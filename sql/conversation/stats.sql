/* conversation.stats */
-- Return a tenant's conversations summarised by the day of their creation.
--
-- Each day is one range of conversation_tenant_id_create_date_idx, answered from the index
-- alone. The series is of dates, so that the days of 23 and 25 hours are right; a day
-- that begins before :from_date or ends after :before_date is cut there.
-- returns: many
-- not_null: dt, since it is a day of the series
-- index: conversation_tenant_id_create_date_idx
-- sorts: the days of the range, and the users of each
-- lint: L06, since the days of a series differ

SELECT
    d.day::date AS dt,
    s.pv,
    s.uv,
    s.tokens,
    s.duration,
    s.round,
    s.thumb_up
-- The days are an array: of a series the planner expects a thousand days, and takes those of a
-- month for so much work that a server with JIT compiles it, for longer than it runs.
FROM unnest(ARRAY(
        SELECT generate_series(
            (:from_date::timestamptz AT TIME ZONE :time_zone::text)::date::timestamp,
            -- The last day is that of the last instant inside the range.
            (
                (:before_date::timestamptz - interval '1 microsecond') AT TIME ZONE :time_zone::text
            )::date::timestamp,
            interval '1 day'
        )
    )) AS d (day)
CROSS JOIN
    LATERAL (
        SELECT
            count(*) AS pv,
            count(DISTINCT c.user_id) AS uv,
            coalesce(sum(c.tokens), 0) AS tokens,
            coalesce(sum(c.duration), 0) AS duration,
            coalesce(avg(c.round), 0)::double precision AS round,
            coalesce(sum(c.thumb_up), 0)::bigint AS thumb_up
        FROM conversation_store.conversation AS c
        WHERE c.tenant_id = :tenant_id::text
            AND c.create_date >= greatest(d.day AT TIME ZONE :time_zone::text, :from_date::timestamptz)
            AND c.create_date < least(
                (d.day + interval '1 day') AT TIME ZONE :time_zone::text,
                :before_date::timestamptz
            )
            -- True for every date: the condition of the index, which the planner takes only where a
            -- statement repeats it.
            AND c.create_date >= '-infinity'
            -- '' stands for the conversations without a source, which may be NULL or ''.
            AND (:source::text IS NULL OR coalesce(c.source, '') = :source::text)
    ) AS s
WHERE :fill::boolean OR s.pv > 0
ORDER BY d.day;
