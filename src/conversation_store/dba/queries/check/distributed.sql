/* check.distributed */
-- Return whether tables of the schema are distributed by Citus.
--
-- Runs where the catalogue of Citus is there.
-- returns: one

SELECT EXISTS(
    SELECT 1
    FROM pg_catalog.pg_dist_partition AS p
    INNER JOIN pg_catalog.pg_class AS c ON p.logicalrelid = c.oid
    WHERE c.relnamespace = to_regnamespace('conversation_store')
        AND p.partmethod <> 'n'
) AS is_distributed;
