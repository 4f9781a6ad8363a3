/* api_token.used */
-- Stamp the use of the live token with this secret.
--
-- One row by api_token_token_digest_key, then api_token_pkey; the stamp touches no indexed
-- column. Where another transaction has locked the row this waits; authenticate.sql does not.
-- returns: count
-- tenants: all, since the tenant is not known before the token is
-- index: api_token_token_digest_key, api_token_pkey

WITH live AS (
    SELECT t.id
    FROM conversation_store.api_token AS t
    WHERE t.token_digest = :token_digest::bytea
        -- NULL: the tenant is not known before the token is.
        AND (:tenant_id::text IS NULL OR t.tenant_id = :tenant_id::text)
        AND t.revoke_date IS NULL
        -- The clock, which goes on while this waits for the row.
        AND (t.expire_date IS NULL OR t.expire_date > clock_timestamp())
    FOR NO KEY UPDATE
)

UPDATE conversation_store.api_token AS t
SET
    update_date = statement_timestamp(),
    use_date = statement_timestamp()
FROM live AS l
WHERE t.id = l.id;
