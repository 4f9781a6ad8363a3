/* api_token.rotate */
-- Issue a successor to a tenant's live token, and let the old one expire after a grace period.
--
-- The successor has the tenant, the dialog and the source of the old one, expires when that
-- was to unless :expire_date says otherwise, and takes over its beta, so that embedded pages
-- go on. A grace period never prolongs a life that ends earlier, and a token is rotated once:
-- of two callers the second gets no row, as for a token that is not the tenant's or not
-- live. No row too where the token was moved to another dialog while this waited for it: run
-- it again. Served by api_token_pkey; locks that row, behind its dialog.
-- returns: optional
-- index: api_token_pkey, dialog_pkey or dialog_tenant_id_id_idx

WITH held AS (
    -- A dialog that is deleted takes its tokens along: it is locked before the token, as there.
    SELECT d.id
    FROM conversation_store.dialog AS d
    WHERE d.tenant_id = :tenant_id::text
        AND d.id = (
            SELECT t.dialog_id
            FROM conversation_store.api_token AS t
            WHERE t.id = :id::bigint
                AND t.tenant_id = :tenant_id::text
        )
    FOR KEY SHARE
),

old AS (
    SELECT
        t.id,
        t.tenant_id,
        t.dialog_id,
        t.source,
        t.beta,
        t.expire_date
    FROM conversation_store.api_token AS t
    WHERE t.id = :id::bigint
        AND t.tenant_id = :tenant_id::text
        AND t.rotate_date IS NULL
        AND t.revoke_date IS NULL
        -- The clock, which goes on while this waits for the row.
        AND (t.expire_date IS NULL OR t.expire_date > clock_timestamp())
        -- It makes the server lock the dialog before this row. Looked at again after a wait: behind
        -- the lock of this row, that of another dialog could wait for a deletion that waits for this.
        AND t.dialog_id IS NOT DISTINCT FROM (SELECT h.id FROM held AS h)
    FOR UPDATE
),

retired AS (
    UPDATE conversation_store.api_token AS t
    SET
        beta = NULL,
        update_date = statement_timestamp(),
        rotate_date = statement_timestamp(),
        expire_date = least(
            t.expire_date,
            statement_timestamp() + make_interval(secs => :grace::double precision)
        )
    FROM old AS o
    WHERE t.id = o.id
        AND t.tenant_id = :tenant_id::text
    RETURNING t.id
)

INSERT INTO conversation_store.api_token AS t (
    tenant_id,
    token_digest,
    hint,
    dialog_id,
    source,
    beta,
    expire_date,
    predecessor_id
)
SELECT
    :tenant_id::text,
    :token_digest::bytea,
    :hint::text,
    o.dialog_id,
    o.source,
    o.beta,
    coalesce(:expire_date::timestamptz, o.expire_date),
    o.id
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
    t.expire_date,
    t.rotate_date,
    t.revoke_date,
    t.predecessor_id;
