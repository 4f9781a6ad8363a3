/* conversation.get_names */
-- Return the ids and names of one explorer user's conversations, newest first.
--
-- Served in order by conversation_tenant_id_dialog_id_exp_user_id_idx.
-- returns: many
-- index: conversation_tenant_id_dialog_id_exp_user_id_idx

SELECT
    c.id,
    c.name
FROM conversation_store.conversation AS c
WHERE c.tenant_id = :tenant_id::text
    AND c.dialog_id = :dialog_id::text
    AND c.exp_user_id = :exp_user_id::text
ORDER BY
    c.create_date DESC,
    c.id DESC
LIMIT :limit::bigint;
