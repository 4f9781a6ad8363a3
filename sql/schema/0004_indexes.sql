-- migrate:up
-- The indexes that the statements stand on, but for those of the search; sql/README.md says
-- which serves which, and what each costs.

-- A tenant's dialogs.
CREATE INDEX dialog_tenant_id_id_idx
ON conversation_store.dialog (tenant_id, id);

-- A page of a dialog in either direction.
CREATE INDEX conversation_tenant_id_dialog_id_create_date_id_idx
ON conversation_store.conversation (tenant_id, dialog_id, create_date DESC, id DESC);

CREATE INDEX conversation_tenant_id_dialog_id_update_date_id_idx
ON conversation_store.conversation (tenant_id, dialog_id, update_date DESC, id DESC);

-- Totals: equal entries are stored once, which makes it a fifteenth of the size of an index with
-- a date. No id is empty: the condition hides this index from every statement that does not
-- repeat it. Where the planner expects few rows, it would else sort a dialog for a page.
CREATE INDEX conversation_tenant_id_dialog_id_idx
ON conversation_store.conversation (tenant_id, dialog_id)
WHERE id <> '';

-- One explorer user's sessions; most conversations have no such user, and no entry here.
CREATE INDEX conversation_tenant_id_dialog_id_exp_user_id_idx
ON conversation_store.conversation (tenant_id, dialog_id, exp_user_id, create_date DESC, id DESC)
WHERE exp_user_id IS NOT NULL;

-- One user's sessions over all dialogs of a tenant; conversations without a user have no entry here.
CREATE INDEX conversation_tenant_id_user_id_create_date_id_idx
ON conversation_store.conversation (tenant_id, user_id, create_date DESC, id DESC)
WHERE user_id <> '';

-- The statistics, answered from the index alone.
CREATE INDEX conversation_tenant_id_create_date_idx
ON conversation_store.conversation (tenant_id, create_date)
INCLUDE (source, user_id, tokens, duration, round, thumb_up);

-- A tenant's tokens, and those of one dialog.
CREATE INDEX api_token_tenant_id_dialog_id_idx
ON conversation_store.api_token (tenant_id, dialog_id);

-- migrate:down
-- None on purpose: drop a single index by name where that is wanted.
