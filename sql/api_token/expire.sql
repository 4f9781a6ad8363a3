/* api_token.expire */
-- Set when a tenant's live token expires.
--
-- NULL: never. What has expired stays so, and a token that was rotated lives no longer than
-- its grace period. Served by api_token_pkey.
-- returns: count
-- index: api_token_pkey

WITH live AS (
    SELECT t.id
    FROM conversation_store.api_token AS t
    WHERE t.id = :id::bigint
        AND t.tenant_id = :tenant_id::text
        AND t.revoke_date IS NULL
        -- The clock, which goes on while this waits for the row.
        AND (t.expire_date IS NULL OR t.expire_date > clock_timestamp())
    FOR NO KEY UPDATE
)

UPDATE conversation_store.api_token AS t
SET
    update_date = statement_timestamp(),
    expire_date = CASE
        WHEN t.rotate_date IS NULL THEN :expire_date::timestamptz
        ELSE least(t.expire_date, :expire_date::timestamptz)
    END
FROM live AS l
WHERE t.id = l.id
    AND t.tenant_id = :tenant_id::text;
