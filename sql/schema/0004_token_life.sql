-- migrate:up
-- A token expires, is rotated, and remembers its last use.

-- NULL: it never expires.
ALTER TABLE conversation_store.api_token ADD COLUMN expire_date timestamptz;

-- NULL: it has no successor.
ALTER TABLE conversation_store.api_token ADD COLUMN rotate_date timestamptz;

-- NULL: it was never used.
ALTER TABLE conversation_store.api_token ADD COLUMN use_date timestamptz;

-- Until now update_date alone told of a use.
UPDATE conversation_store.api_token
SET use_date = update_date
WHERE update_date > create_date;

-- migrate:down
-- None on purpose: dropping the columns would bring expired tokens back to life.
