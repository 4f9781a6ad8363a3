/* api_token.stamp_use */
-- Stamp the use of a token that was authenticated, and return it.
--
-- Whoever finds the row locked goes without the stamp, and so does whoever finds one that
-- came in between: many requests with one token do not wait for each other. Served by
-- api_token_pkey.
-- returns: optional
-- index: api_token_pkey

WITH due AS (
    SELECT t.id
    FROM conversation_store.api_token AS t
    WHERE t.id = :id::bigint
        AND t.tenant_id = :tenant_id::text
        AND t.revoke_date IS NULL
        AND (
            t.use_date IS NULL
            OR t.use_date <= statement_timestamp() - make_interval(secs => :stamp_every::double precision)
        )
    FOR NO KEY UPDATE SKIP LOCKED
)

UPDATE conversation_store.api_token AS t
SET
    update_date = statement_timestamp(),
    use_date = statement_timestamp()
FROM due AS d
WHERE t.id = d.id
    AND t.tenant_id = :tenant_id::text
RETURNING
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
    t.predecessor_id;
