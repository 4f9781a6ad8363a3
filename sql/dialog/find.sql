/* dialog.find */
-- Find the tenants that have dialogs with these ids.
--
-- For a call that names no tenant. Served by dialog_pkey, whose first column is the id. One
-- row more than there are ids is enough: then two tenants have one of them.
-- returns: many
-- tenants: all, since the tenant of an id is looked for
-- index: dialog_pkey

SELECT
    d.id,
    d.tenant_id
FROM conversation_store.dialog AS d
WHERE d.id = ANY(:ids::text[])
ORDER BY
    d.id,
    d.tenant_id
LIMIT cardinality(:ids::text[]) + 1;
