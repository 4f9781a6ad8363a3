/* conversation.find */
-- Find the tenants that have conversations with these ids.
--
-- For a call that names no tenant. Served by conversation_pkey, whose first column is the id.
-- With a dialog, only its conversations. One row more than there are ids is enough: then two
-- tenants have one of them.
-- returns: many
-- tenants: all, since the tenant of an id is looked for
-- index: conversation_pkey

SELECT
    c.id,
    c.tenant_id
FROM conversation_store.conversation AS c
WHERE c.id = ANY(:ids::text[])
    AND coalesce(c.dialog_id = :dialog_id::text, TRUE)
ORDER BY
    c.id,
    c.tenant_id
LIMIT cardinality(:ids::text[]) + 1;
