/* api_token.fill_beta */
-- Give a tenant's live token a random beta unless it has one, and return the token.
--
-- Of two callers at once the second waits for the row and gets what the first has filled
-- in. Not of a token that was rotated: its beta is with its successor. Served by api_token_pkey.
-- returns: optional
-- index: api_token_pkey

WITH live AS (
    SELECT t.id
    FROM conversation_store.api_token AS t
    WHERE t.id = :id::bigint
        AND t.tenant_id = :tenant_id::text
        AND t.rotate_date IS NULL
        AND t.revoke_date IS NULL
        -- The clock, which goes on while this waits for the row.
        AND (t.expire_date IS NULL OR t.expire_date > clock_timestamp())
    FOR UPDATE
)

UPDATE conversation_store.api_token AS t
SET
    beta = coalesce(t.beta, :beta::text),
    update_date = CASE WHEN t.beta IS NULL THEN statement_timestamp() ELSE t.update_date END
FROM live AS l
WHERE t.id = l.id
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
