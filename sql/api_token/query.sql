/* api_token.query */
-- List a tenant's tokens, newest first.
--
-- Served by api_token_tenant_id_dialog_id_idx.
-- returns: many

SELECT
    t.id,
    t.tenant_id,
    t.hint,
    t.dialog_id,
    t.source,
    t.beta,
    t.create_date,
    t.update_date
FROM conversation_store.api_token AS t
WHERE t.tenant_id = :tenant_id::text
ORDER BY
    t.create_date DESC,
    t.id DESC
LIMIT :limit::bigint;
