/* api_token.update_by_id */
-- Change the given fields of a tenant's token.
--
-- :changes holds them, NULL included. Nothing changes where it names a dialog that the tenant does
-- not have; a beta that is in use is the unique key's error. Served by api_token_pkey; locks that
-- row, behind the dialog that it is given.
-- returns: count
-- index: api_token_pkey, dialog_pkey or dialog_tenant_id_id_idx

WITH held AS (
    -- A dialog that is deleted takes its tokens along: it is locked before the token, as there.
    -- '', and so none, where the dialog is left as it is or taken away, see save.sql.
    SELECT d.id
    FROM conversation_store.dialog AS d
    WHERE d.tenant_id = :tenant_id::text
        AND d.id = coalesce(:changes::jsonb ->> 'dialog_id', '')
    FOR KEY SHARE
)

UPDATE conversation_store.api_token AS t
SET
    dialog_id = CASE
        WHEN :changes::jsonb ? 'dialog_id' THEN :changes::jsonb ->> 'dialog_id'
        ELSE t.dialog_id
    END,
    source = CASE
        WHEN :changes::jsonb ? 'source' THEN :changes::jsonb ->> 'source'
        ELSE t.source
    END,
    beta = CASE
        WHEN :changes::jsonb ? 'beta' THEN :changes::jsonb ->> 'beta'
        ELSE t.beta
    END,
    update_date = statement_timestamp()
WHERE t.id = :id::bigint
    AND t.tenant_id = :tenant_id::text
    -- It makes the server lock the dialog before this row, too.
    AND (:changes::jsonb ->> 'dialog_id' IS NULL OR (SELECT count(*) FROM held) > 0);
