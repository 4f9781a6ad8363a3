/* api_token.update_by_id */
-- Change the given fields of a tenant's token.
--
-- :changes holds them, NULL included. A dialog that is not the tenant's is the foreign key's
-- error, a beta that is in use the unique key's. Served by api_token_pkey.
-- returns: count

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
    AND t.tenant_id = :tenant_id::text;
