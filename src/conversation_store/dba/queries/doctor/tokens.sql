/* doctor.tokens */
-- Count live tokens that never expire, and those unused although they were issued that many days ago.
--
-- Of at most that many tokens, so that it ends soon on a table of any size.
--
-- returns: one
SELECT
    count(*) AS live,
    count(*) FILTER (WHERE t.expire_date IS NULL) AS lasting,
    (array_agg(t.id) FILTER (WHERE t.expire_date IS NULL))[1:3] AS lasting_ids,
    count(*) FILTER (WHERE t.is_unused) AS unused,
    (array_agg(t.id) FILTER (WHERE t.is_unused))[1:3] AS unused_ids
FROM (
    SELECT
        a.id,
        a.expire_date,
        a.use_date IS NULL AND a.create_date < now() - make_interval(days => :days::integer) AS is_unused
    FROM conversation_store.api_token AS a
    WHERE a.revoke_date IS NULL AND (a.expire_date IS NULL OR a.expire_date > now())
    LIMIT :at_most::bigint
) AS t;
