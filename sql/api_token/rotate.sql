/* api_token.rotate */
-- Issue a successor to a live token and let the old one expire after a grace period.
--
-- The successor has the tenant, the dialog and the source of the old one, and takes over
-- its beta, so that embedded pages go on. A grace period never prolongs a life that ends
-- earlier. Returns no row when the tenant has no such live token. Served by api_token_pkey;
-- locks that row.
-- returns: optional

WITH old AS (
    SELECT
        t.id,
        t.tenant_id,
        t.dialog_id,
        t.source,
        t.beta
    FROM conversation_store.api_token AS t
    WHERE t.id = :id::bigint
        AND t.tenant_id = :tenant_id::text
        AND (t.expire_date IS NULL OR t.expire_date > statement_timestamp())
    FOR UPDATE
),

retired AS (
    UPDATE conversation_store.api_token AS t
    SET
        beta = NULL,
        update_date = statement_timestamp(),
        expire_date = least(
            t.expire_date,
            statement_timestamp() + make_interval(secs => :grace::double precision)
        )
    FROM old AS o
    WHERE t.id = o.id
    RETURNING t.id
)

INSERT INTO conversation_store.api_token AS t (
    tenant_id,
    token_digest,
    hint,
    dialog_id,
    source,
    beta,
    expire_date
)
SELECT
    o.tenant_id,
    :token_digest::bytea,
    :hint::text,
    o.dialog_id,
    o.source,
    o.beta,
    :expire_date::timestamptz
FROM old AS o
-- The beta is free once the old row has given it up.
INNER JOIN retired AS r ON o.id = r.id
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
    t.expire_date;
