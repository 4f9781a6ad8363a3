/* doctor.dialogs */
-- Count dialogs that are that many days old and have no conversation.
--
-- Of at most that many dialogs, so that it ends soon on a table of any size.
--
-- returns: one
SELECT
    count(*) AS old,
    count(*) FILTER (WHERE e.is_empty) AS without,
    (array_agg(e.tenant_id || ': ' || e.id) FILTER (WHERE e.is_empty))[1:3] AS examples
FROM (
    SELECT
        d.id,
        d.tenant_id,
        NOT EXISTS (
            SELECT FROM conversation_store.conversation AS c
            WHERE c.tenant_id = d.tenant_id AND c.dialog_id = d.id
        ) AS is_empty
    FROM conversation_store.dialog AS d
    WHERE d.create_date < now() - make_interval(days => :days::integer)
    LIMIT :at_most::bigint
) AS e;
