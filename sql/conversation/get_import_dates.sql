/* conversation.get_import_dates */
-- Return when each of these conversations was changed, here and where it was imported from.
--
-- For an import, which skips or replaces what is there already. Served by conversation_pkey.
-- returns: many
-- plan: custom
-- index: conversation_pkey

SELECT
    c.id,
    c.dialog_id,
    c.update_date,
    c.import_date,
    c.revision
FROM conversation_store.conversation AS c
-- Planned for its actual values: a generic plan would read a whole tenant of average size for
-- a list of ids, and so a large one.
WHERE (:tenant_id::text IS NOT NULL OR conversation_store.force_custom_plan(c.id))
    AND c.id = ANY(:ids::text[])
    AND c.tenant_id = :tenant_id::text
ORDER BY c.id;
