/* api_token.revoke */
-- Let a live token expire now.
--
-- The row stays, for lists to show. Served by api_token_pkey.
-- returns: count

UPDATE conversation_store.api_token AS t
SET
    update_date = now(),
    expire_date = statement_timestamp()
WHERE t.id = :id::bigint
    AND t.tenant_id = :tenant_id::text
    AND (t.expire_date IS NULL OR t.expire_date > statement_timestamp());
