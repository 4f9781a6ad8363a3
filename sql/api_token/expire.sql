/* api_token.expire */
-- Set when a live token expires.
--
-- NULL: never. What has expired stays so. Served by api_token_pkey.
-- returns: count

UPDATE conversation_store.api_token AS t
SET
    update_date = now(),
    expire_date = :expire_date::timestamptz
WHERE t.id = :id::bigint
    AND t.tenant_id = :tenant_id::text
    AND (t.expire_date IS NULL OR t.expire_date > statement_timestamp());
