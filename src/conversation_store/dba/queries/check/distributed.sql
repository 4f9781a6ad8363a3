/* check.distributed */
-- Return whether all five tables are distributed that sql/citus.sql distributes.
--
-- Runs where the catalogue of Citus is there.
-- returns: one

SELECT count(*) = 5 AS is_distributed
FROM pg_catalog.pg_dist_partition AS p
INNER JOIN pg_catalog.pg_class AS c ON p.logicalrelid = c.oid
WHERE c.relnamespace = to_regnamespace('conversation_store')
    AND p.partmethod = 'h';
