-- The steps past one machine: the tables of dialogs and conversations distributed over the workers of
-- a Citus cluster, by tenant. For the coordinator, after `conversation-store migrate` on it:
--
--     psql -v ON_ERROR_STOP=1 -f sql/citus.sql
--
-- On an empty store and on a filled one, whose calls wait until all rows are copied to the shards. Run
-- again, after an interruption or an error too, it does what is left to do.
-- README.md says what to expect, in "Past one machine".

-- The coordinator writes values into the statements that it sends, and a worker must read them as it does:
-- otherwise what a caller stores is SQL there. Without Citus, or with other settings, nothing changes.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM run_command_on_all_nodes('SHOW standard_conforming_strings') AS n
        WHERE n.success IS NOT TRUE OR n.result <> 'on'
    ) OR EXISTS (
        SELECT FROM run_command_on_all_nodes('SHOW DateStyle') AS n
        WHERE n.success IS NOT TRUE OR n.result NOT LIKE 'ISO%'
    ) THEN
        RAISE 'on every node standard_conforming_strings must be on, and DateStyle begin with ISO';
    END IF;
END
$$;

-- A local table of the coordinator, in which a token is looked for before its tenant is known; it has no
-- foreign key to a distributed table. The statements do what this key does: they lock the dialog before
-- they bind a token to it, and delete its tokens with it.
ALTER TABLE conversation_store.api_token DROP CONSTRAINT IF EXISTS api_token_tenant_id_dialog_id_fkey;

-- All tables or none: in between, a dialog would not know of its conversations, and be deleted without
-- an error. The locks come first, since a writer that waits for one table may hold another.
BEGIN;

LOCK TABLE
conversation_store.conversation,
conversation_store.dialog,
conversation_store.conversation_message,
conversation_store.conversation_reference,
conversation_store.conversation_turn
IN ACCESS EXCLUSIVE MODE;

-- A tenant's rows of all of these tables are on one worker: a statement goes to that one.
SELECT create_distributed_table(t.name, 'tenant_id', colocate_with => 'none')
FROM (VALUES (1, 'conversation_store.dialog')) AS t (position, name)
WHERE NOT EXISTS (
        SELECT FROM pg_dist_partition AS p
        WHERE p.logicalrelid = t.name::regclass
    );

SELECT create_distributed_table(t.name, 'tenant_id', colocate_with => 'conversation_store.dialog')
FROM (
    VALUES
    (1, 'conversation_store.conversation'),
    (2, 'conversation_store.conversation_message'),
    (3, 'conversation_store.conversation_reference'),
    (4, 'conversation_store.conversation_turn')
) AS t (position, name)
WHERE NOT EXISTS (
        SELECT FROM pg_dist_partition AS p
        WHERE p.logicalrelid = t.name::regclass
    )
ORDER BY t.position;

COMMIT;

-- The rows that were on the coordinator are on the workers now: what is left of them takes room, and a
-- dump would write it. Only where all of the tables are distributed, since it empties all that foreign
-- keys join.
SELECT truncate_local_data_after_distributing_table('conversation_store.dialog')
WHERE 5 = (
        SELECT count(*) FROM pg_dist_partition AS p
        INNER JOIN pg_class AS c ON p.logicalrelid = c.oid
        WHERE c.relnamespace = 'conversation_store'::regnamespace AND p.partmethod = 'h'
    );
