/* ragflow_mysql.conversations */
-- Return the conversations with these ids, their JSON as the text that it is there.
--
-- Run on the database to move from.
-- returns: many

SELECT
    s.id,
    s.dialog_id,
    s.name,
    s.user_id,
    s.exp_user_id,
    s.message,
    s.reference,
    s.tokens,
    s.source,
    s.dsl,
    -- A FLOAT is sent with six digits, a double with all of them.
    s.duration + 0e0 AS duration,
    s.round,
    s.thumb_up,
    s.errors,
    s.version_title,
    s.create_time,
    s.update_time,
    s.create_date,
    s.update_date
FROM api_4_conversation AS s
WHERE s.id IN :ids
ORDER BY s.id;
