/* api_token.query */
-- Return the tokens of a tenant, of a dialog, with a secret or with a beta, newest first.
--
-- Expired and revoked ones are there too. Each filter that is given folds into a condition of
-- api_token_tenant_id_dialog_id_idx, api_token_token_digest_key or api_token_beta_key.
-- returns: many
-- tenants: all, since a secret or a beta may be looked for in all tenants
-- plan: custom
-- index: api_token_tenant_id_dialog_id_idx, api_token_token_digest_key, api_token_beta_key
-- scans: api_token, since this is without any filter alone, which the method refuses
-- sorts: the tokens that match, newest first, which no index has

SELECT
    t.id,
    t.tenant_id,
    t.hint,
    t.dialog_id,
    t.source,
    t.beta,
    t.create_date,
    t.update_date,
    t.use_date,
    t.expire_date,
    t.rotate_date,
    t.revoke_date,
    t.predecessor_id
FROM conversation_store.api_token AS t
-- Planned for its actual values, see conversation/get_list.sql.
WHERE (:limit::bigint IS NOT NULL OR conversation_store.force_custom_plan(t.tenant_id))
    AND (:tenant_id::text IS NULL OR t.tenant_id = :tenant_id::text)
    AND (:token_digest::bytea IS NULL OR t.token_digest = :token_digest::bytea)
    AND (:beta::text IS NULL OR t.beta = :beta::text)
    AND (:dialog_id::text IS NULL OR t.dialog_id = :dialog_id::text)
ORDER BY
    t.create_date DESC,
    t.id DESC
LIMIT :limit::bigint;
