/* api_token.save */
-- Store a secret by its digest.
--
-- Of a digest that is there already, under whatever tenant, nothing is stored and no row
-- returned, after a wait for a transaction that stores it. A beta that is there already is the
-- unique key's error, a dialog that is not the tenant's the foreign key's.
-- returns: optional

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
VALUES (
    :tenant_id::text,
    :token_digest::bytea,
    :hint::text,
    :dialog_id::text,
    :source::text,
    :beta::text,
    coalesce(:create_date::timestamptz, now()),
    coalesce(:update_date::timestamptz, :create_date::timestamptz, now()),
    :expire_date::timestamptz
)
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
