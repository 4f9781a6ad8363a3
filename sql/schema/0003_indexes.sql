-- migrate:up
-- The indexes that the statements stand on; sql/README.md says which serves which, and what each costs.

-- Trusted extensions: the owner of a database may create them. One that is here already,
-- in whatever schema, is used where it is. The schema is named: that of a role's search_path
-- may be none, or a schema of others.
CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public;
CREATE EXTENSION IF NOT EXISTS btree_gin SCHEMA public;

SELECT set_config(
    'search_path',
    (
        SELECT string_agg(DISTINCT quote_ident(n.nspname), ', ')
        FROM pg_catalog.pg_extension AS e
        INNER JOIN pg_catalog.pg_namespace AS n ON e.extnamespace = n.oid
        WHERE e.extname IN ('pg_trgm', 'btree_gin')
    ),
    TRUE
);

-- A tenant's dialogs.
CREATE INDEX dialog_tenant_id_id_idx
ON conversation_store.dialog (tenant_id, id);

-- A page of a dialog in either direction, and its exact total without touching the table.
CREATE INDEX conversation_tenant_id_dialog_id_create_date_id_idx
ON conversation_store.conversation (tenant_id, dialog_id, create_date DESC, id DESC);

CREATE INDEX conversation_tenant_id_dialog_id_update_date_id_idx
ON conversation_store.conversation (tenant_id, dialog_id, update_date DESC, id DESC);

-- One explorer user's sessions; most conversations have no such user and cost nothing here.
CREATE INDEX conversation_tenant_id_dialog_id_exp_user_id_idx
ON conversation_store.conversation (tenant_id, dialog_id, exp_user_id, create_date DESC, id DESC)
WHERE exp_user_id IS NOT NULL;

-- One user's sessions over all dialogs of a tenant; conversations without a user cost nothing here.
CREATE INDEX conversation_tenant_id_user_id_create_date_id_idx
ON conversation_store.conversation (tenant_id, user_id, create_date DESC, id DESC)
WHERE user_id <> '';

-- The statistics, answered from the index alone.
CREATE INDEX conversation_tenant_id_create_date_idx
ON conversation_store.conversation (tenant_id, create_date)
INCLUDE (source, user_id, tokens, duration, round, thumb_up);

-- The keyword search: the text of each message, and the id and name of each conversation. The
-- tenant comes first: two tenants may have the same dialog id, and the search of one must not
-- read the messages of the other, whose number its time would tell.
CREATE INDEX conversation_message_tenant_id_dialog_id_search_idx
ON conversation_store.conversation_message
USING gin (
    tenant_id,
    dialog_id,
    conversation_store.search_text(conversation_store.message_text(body)) gin_trgm_ops
);

CREATE INDEX conversation_tenant_id_dialog_id_search_idx
ON conversation_store.conversation
USING gin (
    tenant_id,
    dialog_id,
    conversation_store.search_text(id || E'\n' || coalesce(name, '')) gin_trgm_ops
);

-- A tenant's tokens, and those of one dialog.
CREATE INDEX api_token_tenant_id_dialog_id_idx
ON conversation_store.api_token (tenant_id, dialog_id);

-- migrate:down
-- None on purpose: drop a single index by name where that is wanted.
