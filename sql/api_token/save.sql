/* api_token.save */
-- Store a secret by its digest.
--
-- A digest or a beta that is there already, under whatever tenant, is the unique key's
-- error; a dialog that is not the tenant's is the foreign key's.
-- returns: one

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
    t.revoke_date;
