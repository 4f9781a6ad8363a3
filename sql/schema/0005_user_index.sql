-- migrate:up
-- One user's sessions over all dialogs of a tenant; conversations without a user cost nothing here.
--
-- Built while writers wait. On a large table, build it before by hand, with CONCURRENTLY
-- behind INDEX: then nothing is left to do here.

CREATE INDEX IF NOT EXISTS conversation_tenant_id_user_id_create_date_id_idx
ON conversation_store.conversation (tenant_id, user_id, create_date DESC, id DESC)
WHERE user_id <> '';

-- migrate:down
-- None on purpose: drop the index by name where that is wanted.
