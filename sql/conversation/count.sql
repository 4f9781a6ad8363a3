/* conversation.count */
-- Count the conversations of a tenant or of a dialog.
--
-- By conversation_tenant_id_dialog_id_idx, or another index that these two columns lead.
-- returns: one
-- plan: custom
-- index: conversation_tenant_id_dialog_id_idx or
--   conversation_dialog_id_tenant_id_create_date_id_idx or
--   conversation_dialog_id_tenant_id_update_date_id_idx

SELECT count(*) AS number
FROM conversation_store.conversation AS c
-- Planned for its actual values, see get_list.sql.
WHERE (:tenant_id::text IS NOT NULL OR conversation_store.force_custom_plan(c.id))
    AND c.tenant_id = :tenant_id::text
    AND (:dialog_id::text IS NULL OR c.dialog_id = :dialog_id::text)
    -- No id is empty: this is the condition of the index, which the planner takes only where a
    -- statement repeats it.
    AND (c.id <> '') IS TRUE;
