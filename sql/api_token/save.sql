/* api_token.save */
-- Store a secret by its digest.
--
-- Of a digest that is there already, under whatever tenant, nothing is stored and no row
-- returned, after a wait for a transaction that stores it. No row too for a dialog that the tenant
-- does not have, which is not left to the foreign key: there is none where the dialogs are on
-- other machines. A beta that is there already is the unique key's error. Locks the dialog.
-- returns: optional
-- index: api_token_token_digest_key, dialog_pkey or dialog_tenant_id_id_idx

WITH held AS (
    -- Of no dialog '', which is the id of none: where a condition can never hold, as = NULL, Citus
    -- takes that of the whole statement for false.
    SELECT d.id
    FROM conversation_store.dialog AS d
    WHERE d.tenant_id = :tenant_id::text
        AND d.id = coalesce(:dialog_id::text, '')
    FOR KEY SHARE
)

INSERT INTO conversation_store.api_token AS t (
    tenant_id,
    token_digest,
    hint,
    dialog_id,
    source,
    beta,
    create_date,
    update_date,
    expire_date
)
SELECT
    :tenant_id::text,
    :token_digest::bytea,
    :hint::text,
    :dialog_id::text,
    :source::text,
    :beta::text,
    coalesce(:create_date::timestamptz, now()),
    coalesce(:update_date::timestamptz, :create_date::timestamptz, now()),
    :expire_date::timestamptz
WHERE :dialog_id::text IS NULL
    OR (SELECT count(*) FROM held) > 0
-- No error: a caller's transaction goes on.
ON CONFLICT ON CONSTRAINT api_token_token_digest_key DO NOTHING
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
