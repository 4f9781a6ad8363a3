/* ragflow_mysql.conversation_sizes */
-- Return how many bytes of text the conversations with these ids have.
--
-- Run on the database to move from, so that no more is read at once than fits into memory.
-- returns: many

SELECT
    s.id,
    coalesce(length(s.message), 0)
    + coalesce(length(s.reference), 0)
    + coalesce(length(s.dsl), 0) AS size
FROM api_4_conversation AS s
WHERE s.id IN :ids
ORDER BY s.id;
