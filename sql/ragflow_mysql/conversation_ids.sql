/* ragflow_mysql.conversation_ids */
-- List one page of the conversations without their contents.
--
-- Run on the database to move from. What was imported already is not read again. Ids are
-- compared as the primary key compares them.
-- returns: many

SELECT
    s.id,
    s.dialog_id,
    s.update_time,
    s.update_date
FROM api_4_conversation AS s
WHERE :after_id IS NULL
    OR s.id > :after_id
ORDER BY s.id
LIMIT :limit;
