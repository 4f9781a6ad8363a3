/* api_token.reimport */
-- Give a token the fields and the date of its change that it has where it is imported from.
--
-- For an import that takes it again: only where it was neither changed nor used since the
-- import has found it, and the tenant has the dialog. A beta that is in use is the unique key's
-- error. Served by api_token_pkey; locks that row, behind the dialog that it is given.
-- returns: count
-- index: api_token_pkey, dialog_pkey or dialog_tenant_id_id_idx

WITH held AS (
    -- As in update_by_id: a dialog is locked before its tokens.
    SELECT d.id
    FROM conversation_store.dialog AS d
    WHERE d.tenant_id = :tenant_id::text
        AND d.id = coalesce(:dialog_id::text, '')
    FOR KEY SHARE
)

UPDATE conversation_store.api_token AS t
SET
    dialog_id = :dialog_id::text,
    source = :source::text,
    beta = :beta::text,
    update_date = :update_date::timestamptz
WHERE t.id = :id::bigint
    AND t.tenant_id = :tenant_id::text
    AND t.update_date = :found_update_date::timestamptz
    -- It makes the server lock the dialog before this row, too.
    AND (:dialog_id::text IS NULL OR (SELECT count(*) FROM held) > 0);
