/* api_token.authenticate_beta */
-- Return the live token with this beta and stamp its use.
--
-- The twin of authenticate.sql: only the condition and the index differ.
-- The stamp is written only where the last one is at least :stamp_every seconds old, and
-- whoever finds the row locked goes without it: a hot token is read by all and queued for by
-- none. In read committed: a repeatable read transaction cannot stamp behind another.
-- Served by api_token_beta_key, then api_token_pkey.
-- returns: optional
-- tenants: all, since the tenant is not known before the token is

WITH found AS (
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
        t.revoke_date
    FROM conversation_store.api_token AS t
    WHERE t.beta = :beta::text
        -- NULL: the tenant is not known before the token is.
        AND (:tenant_id::text IS NULL OR t.tenant_id = :tenant_id::text)
        AND t.revoke_date IS NULL
        -- Of the statement, not of the transaction: one that began long ago must see an end that
        -- came since, unless it is repeatable read and sees nothing new.
        AND (t.expire_date IS NULL OR t.expire_date > statement_timestamp())
),

due AS (
    SELECT t.id
    FROM conversation_store.api_token AS t
    WHERE t.id = (
            SELECT f.id
            FROM found AS f
            WHERE f.use_date IS NULL
                OR f.use_date <= statement_timestamp() - make_interval(secs => :stamp_every::double precision)
        )
    FOR NO KEY UPDATE SKIP LOCKED
),

stamped AS (
    UPDATE conversation_store.api_token AS t
    SET
        update_date = statement_timestamp(),
        use_date = statement_timestamp()
    FROM due AS d
    WHERE t.id = d.id
    RETURNING
        t.id,
        t.update_date,
        t.use_date
)

SELECT
    f.id,
    f.tenant_id,
    f.hint,
    f.dialog_id,
    f.source,
    f.beta,
    f.create_date,
    coalesce(s.update_date, f.update_date) AS update_date,
    coalesce(s.use_date, f.use_date) AS use_date,
    f.expire_date,
    f.rotate_date,
    f.revoke_date
FROM found AS f
LEFT JOIN stamped AS s ON f.id = s.id;
