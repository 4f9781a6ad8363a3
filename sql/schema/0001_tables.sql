-- migrate:up
-- The tables: dialogs, their conversations, one row per message and per reference, and API tokens.
--
-- Identifiers come from other services: text, compared byte by byte. Their lengths are
-- bounded, so that an index row always fits into a page, whatever the script.

CREATE SCHEMA IF NOT EXISTS conversation_store;

CREATE TABLE conversation_store.dialog (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    name text,
    create_date timestamptz NOT NULL DEFAULT now(),
    update_date timestamptz NOT NULL DEFAULT now(),
    -- Ids are unique within a tenant. With the id first, the same index finds the tenant of an
    -- id. There is no index on the id alone: the planner would take it for the look-up by both,
    -- and read the rows of every tenant that has the id.
    CONSTRAINT dialog_pkey PRIMARY KEY (id, tenant_id),
    CONSTRAINT dialog_id_check CHECK (char_length(id) BETWEEN 1 AND 128),
    CONSTRAINT dialog_tenant_id_check CHECK (char_length(tenant_id) BETWEEN 1 AND 128),
    CONSTRAINT dialog_name_check CHECK (char_length(name) <= 1000)
);

-- A small row: what a conversation says is in the two tables below, so that an
-- append writes one turn and not the whole conversation.
CREATE TABLE conversation_store.conversation (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    dialog_id text COLLATE "C" NOT NULL,
    name text,
    user_id text COLLATE "C" NOT NULL DEFAULT '',
    exp_user_id text COLLATE "C",
    tokens bigint NOT NULL DEFAULT 0,
    source text COLLATE "C",
    -- json and not jsonb: what was given comes back as it was, the order of keys included.
    dsl json NOT NULL DEFAULT '{}',
    duration double precision NOT NULL DEFAULT 0,
    round integer NOT NULL DEFAULT 0,
    thumb_up integer NOT NULL DEFAULT 0,
    errors text,
    version_title text,
    create_date timestamptz NOT NULL DEFAULT now(),
    update_date timestamptz NOT NULL DEFAULT now(),
    -- The update_date that it had where an import found it. Equal to update_date: unchanged since.
    -- NULL: it was made here.
    import_date timestamptz,
    -- How many entries count; below 0: the value is not a list and is the entry at position 1.
    -- The function entry_count says which number stands for what.
    message_count integer NOT NULL DEFAULT 0,
    reference_count integer NOT NULL DEFAULT 0,
    -- Incremented by every statement that changes the conversation: a caller learns from it
    -- whether a row that was read is still the current one, and a statement that waited for
    -- the row whether the entries in its snapshot are.
    revision bigint NOT NULL DEFAULT 0,
    -- As the key of dialogs: unique within a tenant, the id first.
    CONSTRAINT conversation_pkey PRIMARY KEY (id, tenant_id),
    -- The dialog is one of the same tenant.
    CONSTRAINT conversation_tenant_id_dialog_id_fkey FOREIGN KEY (tenant_id, dialog_id)
    REFERENCES conversation_store.dialog (tenant_id, id),
    CONSTRAINT conversation_id_check CHECK (char_length(id) BETWEEN 1 AND 128),
    CONSTRAINT conversation_user_id_check CHECK (char_length(user_id) <= 255),
    CONSTRAINT conversation_exp_user_id_check CHECK (char_length(exp_user_id) <= 255),
    CONSTRAINT conversation_source_check CHECK (char_length(source) <= 64),
    CONSTRAINT conversation_name_check CHECK (char_length(name) <= 1000),
    CONSTRAINT conversation_version_title_check CHECK (char_length(version_title) <= 1000),
    -- NaN and infinities are not in it, and no sum of so small numbers overflows.
    CONSTRAINT conversation_duration_check CHECK (duration BETWEEN -1e15 AND 1e15),
    CONSTRAINT conversation_message_count_check CHECK (message_count >= -3),
    CONSTRAINT conversation_reference_count_check CHECK (reference_count >= -3)
);

-- One row per entry of a conversation's message list, positions from 1; a value that is not a
-- list is at position 1. dialog_id is copied from the conversation by the statement that writes
-- the row.
CREATE TABLE conversation_store.conversation_message (
    conversation_id text COLLATE "C" NOT NULL,
    position integer NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    dialog_id text COLLATE "C" NOT NULL,
    body json NOT NULL,
    CONSTRAINT conversation_message_pkey PRIMARY KEY (tenant_id, conversation_id, position),
    CONSTRAINT conversation_message_tenant_id_conversation_id_fkey FOREIGN KEY (tenant_id, conversation_id)
    REFERENCES conversation_store.conversation (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT conversation_message_position_check CHECK (position >= 1)
);

-- The same for the reference list, which is not searched.
CREATE TABLE conversation_store.conversation_reference (
    conversation_id text COLLATE "C" NOT NULL,
    position integer NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    body json NOT NULL,
    CONSTRAINT conversation_reference_pkey PRIMARY KEY (tenant_id, conversation_id, position),
    CONSTRAINT conversation_reference_tenant_id_conversation_id_fkey FOREIGN KEY (tenant_id, conversation_id)
    REFERENCES conversation_store.conversation (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT conversation_reference_position_check CHECK (position >= 1)
);

-- The ids that callers gave to turns, each with the round that the turn got, so that a turn
-- which is sent again is known. A conversation and its turns are deleted together.
CREATE TABLE conversation_store.conversation_turn (
    conversation_id text COLLATE "C" NOT NULL,
    turn_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    round integer NOT NULL,
    -- SHA-256 of what was appended: other content under the same id is another turn.
    digest bytea NOT NULL,
    CONSTRAINT conversation_turn_pkey PRIMARY KEY (tenant_id, conversation_id, turn_id),
    CONSTRAINT conversation_turn_tenant_id_conversation_id_fkey FOREIGN KEY (tenant_id, conversation_id)
    REFERENCES conversation_store.conversation (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT conversation_turn_turn_id_check CHECK (char_length(turn_id) BETWEEN 1 AND 128),
    CONSTRAINT conversation_turn_digest_check CHECK (octet_length(digest) = 32)
);

-- The secret itself is nowhere: only its SHA-256 digest and a hint to recognise it by.
CREATE TABLE conversation_store.api_token (
    -- Random, 52 bits: a tenant could count the tokens of others by the gaps in a sequence.
    -- Below 2**53, so that JavaScript reads it exactly.
    id bigint NOT NULL DEFAULT ('x' || right(replace(gen_random_uuid()::text, '-', ''), 13))::bit(52)::bigint,
    tenant_id text COLLATE "C" NOT NULL,
    token_digest bytea NOT NULL,
    hint text NOT NULL,
    dialog_id text COLLATE "C",
    source text COLLATE "C",
    beta text COLLATE "C",
    create_date timestamptz NOT NULL DEFAULT now(),
    -- The last change or use.
    update_date timestamptz NOT NULL DEFAULT now(),
    -- NULL: it was never used.
    use_date timestamptz,
    -- NULL: it never expires.
    expire_date timestamptz,
    -- NULL: it has no successor.
    rotate_date timestamptz,
    -- NULL: it was not revoked.
    revoke_date timestamptz,
    -- The token that it was issued to succeed. NULL: none. No foreign key: the old one may be deleted.
    predecessor_id bigint,
    CONSTRAINT api_token_pkey PRIMARY KEY (id),
    -- One secret belongs to one tenant: a request that comes with a token does not know its
    -- tenant yet, so these keys are global.
    CONSTRAINT api_token_token_digest_key UNIQUE (token_digest),
    CONSTRAINT api_token_beta_key UNIQUE (beta),
    -- A token that was bound to a dialog must not outlive it as a token for everything. A
    -- statement of its own deletes it with the dialog; this is the second guard.
    CONSTRAINT api_token_tenant_id_dialog_id_fkey FOREIGN KEY (tenant_id, dialog_id)
    REFERENCES conversation_store.dialog (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT api_token_tenant_id_check CHECK (char_length(tenant_id) BETWEEN 1 AND 128),
    CONSTRAINT api_token_token_digest_check CHECK (octet_length(token_digest) = 32),
    CONSTRAINT api_token_source_check CHECK (char_length(source) <= 64),
    CONSTRAINT api_token_beta_check CHECK (char_length(beta) BETWEEN 1 AND 255)
)
-- Room on each page for the stamps of use, which change no indexed column.
WITH (fillfactor = 80);

-- What is long is compressed by lz4 where the server has it: in less than half of the time, for a tenth
-- more of room.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_catalog.pg_settings AS s
        WHERE s.name = 'default_toast_compression' AND 'lz4' = ANY(s.enumvals)
    ) THEN
        ALTER TABLE conversation_store.conversation ALTER COLUMN dsl SET COMPRESSION lz4;
        ALTER TABLE conversation_store.conversation_message ALTER COLUMN body SET COMPRESSION lz4;
        ALTER TABLE conversation_store.conversation_reference ALTER COLUMN body SET COMPRESSION lz4;
    END IF;
END
$$;

-- migrate:down
-- None on purpose: dropping these tables would lose every conversation.
