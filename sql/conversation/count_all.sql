/* conversation.count_all */
-- Count the conversations of all tenants.
--
-- A scan of the smallest index, or of the table.
-- returns: one
-- tenants: all, since an operator asks for the size of the whole store
-- index: conversation_dialog_id_tenant_id_create_date_id_idx or
--   conversation_dialog_id_tenant_id_update_date_id_idx or conversation_pkey
-- scans: conversation, since every row is counted

SELECT count(*) AS number
FROM conversation_store.conversation;
