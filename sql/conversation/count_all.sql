/* conversation.count_all */
-- Count the conversations of all tenants.
--
-- A scan of the smallest index, or of the table.
-- returns: one
-- tenants: all, since an operator asks for the size of the whole store

SELECT count(*) AS number
FROM conversation_store.conversation;
