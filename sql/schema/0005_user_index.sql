-- migrate:up
-- One user's sessions over all dialogs of a tenant; conversations without a user cost nothing here.
--
-- Built while writers wait. On a large table, build it before by hand, with CONCURRENTLY
-- behind INDEX: then nothing is left to do here.

CREATE INDEX IF NOT EXISTS conversation_tenant_id_user_id_create_date_id_idx
ON conversation_store.conversation (tenant_id, user_id, create_date DESC, id DESC)
WHERE user_id <> '';

-- One that was built by hand and did not come to its end serves nobody.
DO $$
BEGIN
    IF EXISTS (
        SELECT 1
        FROM pg_catalog.pg_index AS i
        WHERE i.indexrelid = 'conversation_store.conversation_tenant_id_user_id_create_date_id_idx'::regclass
            AND NOT i.indisvalid
    ) THEN
        RAISE EXCEPTION 'conversation_tenant_id_user_id_create_date_id_idx is invalid: drop it, and migrate again';
    END IF;
END
$$;

-- migrate:down
-- None on purpose: drop the index by name where that is wanted.
