/* dialog.delete_by_ids */
-- Delete dialogs without conversations, with the tokens bound to them.
--
-- While one of them has conversations it is their foreign key's error. Rows are locked in
-- order of the ids. Served by dialog_pkey or dialog_tenant_id_id_idx.
-- returns: count
-- index: dialog_pkey or dialog_tenant_id_id_idx

WITH locked AS MATERIALIZED (
    SELECT d.id
    FROM conversation_store.dialog AS d
    WHERE d.id = ANY(:ids::text[])
        AND d.tenant_id = :tenant_id::text
    ORDER BY d.id
    FOR UPDATE
)

DELETE FROM conversation_store.dialog AS d
WHERE d.tenant_id = :tenant_id::text
    -- Not a join, see conversation/delete_by_ids.sql.
    AND d.id = ANY(ARRAY(SELECT l.id FROM locked AS l));
