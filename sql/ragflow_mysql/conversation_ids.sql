/* ragflow_mysql.conversation_ids */
-- List the ids and dialogs of one page of the conversations.
--
-- Run on the database to move from. What is there already is not read again. Ids are compared
-- as the primary key compares them.
-- returns: many

SELECT
    s.id,
    s.dialog_id
FROM api_4_conversation AS s
WHERE :after_id IS NULL
    OR s.id > :after_id
ORDER BY s.id
LIMIT :limit;
