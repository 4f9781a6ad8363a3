-- migrate:up
-- A token expires and remembers its last use; a user's conversations have an index.

-- NULL: it never expires.
ALTER TABLE conversation_store.api_token ADD COLUMN expire_date timestamptz;

-- NULL: it was never used.
ALTER TABLE conversation_store.api_token ADD COLUMN use_date timestamptz;

-- Until now update_date alone told of a use.
UPDATE conversation_store.api_token
SET use_date = update_date
WHERE update_date > create_date;

-- One user's sessions over all dialogs of a tenant; conversations without a user cost nothing here.
CREATE INDEX conversation_tenant_id_user_id_create_date_id_idx
ON conversation_store.conversation (tenant_id, user_id, create_date DESC, id DESC)
WHERE user_id <> '';

-- migrate:down
-- None on purpose: dropping the columns would bring expired tokens back to life.
