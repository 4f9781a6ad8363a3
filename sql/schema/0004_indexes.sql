-- migrate:up
-- The tables are empty: they come with the same release.
-- squawk-ignore-file require-concurrent-index-creation
--
-- The indexes that the statements stand on, but for those of the search; sql/README.md says
-- which serves which, and what each costs.

-- A tenant's dialogs.
CREATE INDEX dialog_tenant_id_id_idx
ON conversation_store.dialog (tenant_id, id);

-- A row of a tenant is looked up by conversation_pkey, by its foreign keys too. Of a tenant that
-- came after the last ANALYZE the planner expects one row: an index that the tenant leads looks
-- as cheap for a look-up as the primary key, and would be read from end to end. So these indexes
-- begin with what no look-up names, or have a condition that no look-up implies.

-- A server that skips the values of a first column (PostgreSQL 18) takes few dialogs for none at
-- all: so it is told to expect one for every hundred conversations.
ALTER TABLE conversation_store.conversation ALTER COLUMN dialog_id SET (n_distinct = -0.01);

-- A page of a dialog in either direction.
CREATE INDEX conversation_dialog_id_tenant_id_create_date_id_idx
ON conversation_store.conversation (dialog_id, tenant_id, create_date DESC, id DESC);

CREATE INDEX conversation_dialog_id_tenant_id_update_date_id_idx
ON conversation_store.conversation (dialog_id, tenant_id, update_date DESC, id DESC);

-- Totals: equal entries are stored once, which makes it a fifteenth of the size of an index with
-- a date. No id is empty: the condition hides this index from every statement that does not
-- repeat it. Where the planner expects few rows, it would else sort a dialog for a page. IS TRUE,
-- since "id = 'a'" implies "id <> ''".
CREATE INDEX conversation_tenant_id_dialog_id_idx
ON conversation_store.conversation (tenant_id, dialog_id)
WHERE (id <> '') IS TRUE;

-- One explorer user's sessions; most conversations have no such user, and no entry here.
CREATE INDEX conversation_tenant_id_dialog_id_exp_user_id_idx
ON conversation_store.conversation (tenant_id, dialog_id, exp_user_id, create_date DESC, id DESC)
WHERE exp_user_id IS NOT NULL;

-- One user's sessions over all dialogs of a tenant; conversations without a user have no entry here.
CREATE INDEX conversation_tenant_id_user_id_create_date_id_idx
ON conversation_store.conversation (tenant_id, user_id, create_date DESC, id DESC)
WHERE user_id <> '';

-- The statistics, answered from the index alone. The condition holds for every date: it hides
-- this index from what names none.
CREATE INDEX conversation_tenant_id_create_date_idx
ON conversation_store.conversation (tenant_id, create_date)
INCLUDE (source, user_id, tokens, duration, round, thumb_up)
WHERE create_date >= '-infinity';

-- A tenant's tokens, and those of one dialog.
CREATE INDEX api_token_tenant_id_dialog_id_idx
ON conversation_store.api_token (tenant_id, dialog_id);

-- migrate:down
-- None on purpose: drop a single index by name where that is wanted.
