/* ragflow.conversation_ids */
-- List the ids and dialogs of one page of the conversations.
--
-- Run on the database to move from. What is there already is not read again.
-- returns: many

SELECT
    s.id::text AS id,
    s.dialog_id::text AS dialog_id
FROM public.api_4_conversation AS s
WHERE :after_id::text IS NULL
    OR s.id > :after_id::text
ORDER BY s.id
LIMIT :limit::bigint;
