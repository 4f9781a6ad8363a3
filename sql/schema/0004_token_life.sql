-- migrate:up
-- A token expires, is rotated and revoked, and remembers its last use.
--
-- Four changes of the catalogue, in no time; but they wait for whoever holds the table, and
-- authentication waits behind them, for lock_timeout at the most.

-- NULL: it never expires.
ALTER TABLE conversation_store.api_token ADD COLUMN expire_date timestamptz;

-- NULL: it has no successor.
ALTER TABLE conversation_store.api_token ADD COLUMN rotate_date timestamptz;

-- NULL: it was not revoked.
ALTER TABLE conversation_store.api_token ADD COLUMN revoke_date timestamptz;

-- NULL: it was not used since there is this column; update_date may tell of a use before.
ALTER TABLE conversation_store.api_token ADD COLUMN use_date timestamptz;

-- migrate:down
-- None on purpose: dropping the columns would bring dead tokens back to life.
