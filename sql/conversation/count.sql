/* conversation.count */
-- Count the conversations of a tenant, of a dialog, or all.
--
-- Of a dialog by conversation_tenant_id_dialog_id_create_date_id_idx or its twin for
-- update_date, of a tenant by any index that it leads; of all, or of most, by a scan.
-- returns: one
-- plan: custom

SELECT count(*) AS number
FROM conversation_store.conversation AS c
-- Planned for its actual values, see get_list.sql; the constant is there to fold away.
WHERE (
    coalesce(:tenant_id::text, :dialog_id::text, '') IS NOT NULL
    OR conversation_store.force_custom_plan(c.id)
)
AND (:tenant_id::text IS NULL OR c.tenant_id = :tenant_id::text)
AND (
    :dialog_id::text IS NULL
    OR (
        c.dialog_id = :dialog_id::text
        AND c.tenant_id = (
            SELECT d.tenant_id
            FROM conversation_store.dialog AS d
            WHERE d.id = :dialog_id::text
        )
    )
);
