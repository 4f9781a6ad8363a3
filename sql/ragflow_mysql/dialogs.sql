/* ragflow_mysql.dialogs */
-- List one page of the assistants.
--
-- Run on the database to move from. Ids are compared as the primary key compares them.
-- returns: many

SELECT
    s.id,
    s.tenant_id,
    s.name,
    FALSE AS is_dialog,
    s.create_time,
    s.update_time,
    s.create_date,
    s.update_date
FROM dialog AS s
WHERE :after_id IS NULL
    OR s.id > :after_id
ORDER BY s.id
LIMIT :limit;
