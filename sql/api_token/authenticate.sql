/* api_token.authenticate */
-- Return the live token with this secret, and whether its use is to be stamped.
--
-- A read: it runs on a standby and in a read-only transaction, and many requests with one token
-- do not wait for each other. A use is stamped, by stamp_use.sql, where the last stamp is at least
-- :stamp_every seconds old, and the transaction can write and is read committed: another one
-- could not write over a stamp that is newer than its snapshot. Served by api_token_token_digest_key.
-- returns: optional
-- not_null: stamp_due, since :stamp_every is a number, and both settings are there
-- tenants: all, since the tenant is not known before the token is
-- index: api_token_token_digest_key

SELECT
    (
        (
            t.use_date IS NULL
            OR t.use_date <= statement_timestamp() - make_interval(secs => :stamp_every::double precision)
        )
        -- What is read-only: a standby, a transaction of the caller, or all of this role.
        AND current_setting('transaction_read_only') = 'off'
        AND current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
    ) AS stamp_due,
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
WHERE t.token_digest = :token_digest::bytea
    -- NULL: the tenant is not known before the token is.
    AND (:tenant_id::text IS NULL OR t.tenant_id = :tenant_id::text)
    AND t.revoke_date IS NULL
    -- Of the statement, not of the transaction: one that began long ago must see an end that
    -- came since, unless it is repeatable read and sees nothing new.
    AND (t.expire_date IS NULL OR t.expire_date > statement_timestamp());
