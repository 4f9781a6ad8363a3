/* ragflow_mysql.user_canvas */
-- List one page of the agents, which are dialogs here.
--
-- Run on the database to move from. Ids are compared as the primary key compares them.
-- returns: many

SELECT
    s.id,
    s.user_id AS tenant_id,
    s.title AS name,
    -- Such an agent would be lost behind the dialog. The two tables may have collations that
    -- cannot be compared, and ids that differ in case are two.
    hex(CONVERT(s.id USING utf8mb4)) IN (
        SELECT hex(CONVERT(o.id USING utf8mb4)) AS id
        FROM dialog AS o
    ) AS is_dialog,
    s.create_time,
    s.update_time,
    s.create_date,
    s.update_date
FROM user_canvas AS s
WHERE :after_id IS NULL
    OR s.id > :after_id
ORDER BY s.id
LIMIT :limit;
