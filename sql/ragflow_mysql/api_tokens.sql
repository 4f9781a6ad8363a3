/* ragflow_mysql.api_tokens */
-- List one page of the tokens, the oldest first.
--
-- Run on the database to move from. Of a token under two tenants the older comes first,
-- and so keeps it; what is no date of the calendar comes last. The position is the three sort
-- keys of the last row before. Ids and tokens are compared as the primary key compares them.
-- returns: many

SELECT
    s.tenant_id,
    s.token,
    s.dialog_id,
    s.source,
    s.beta,
    s.create_time,
    s.update_time,
    s.create_date,
    s.update_date,
    -- Arithmetic makes NULL of zero dates and of dates without a month or a day.
    coalesce(
        cast(cast(s.create_date + INTERVAL 0 SECOND AS datetime(6)) AS char(26)), 'infinity'
    ) AS position
FROM api_token AS s
WHERE :after_token IS NULL
    OR (
        coalesce(
            cast(cast(s.create_date + INTERVAL 0 SECOND AS datetime(6)) AS char(26)), 'infinity'
        ),
        s.tenant_id,
        s.token
    ) > (:after_position, :after_tenant_id, :after_token)
ORDER BY
    position,
    s.tenant_id,
    s.token
LIMIT :limit;
