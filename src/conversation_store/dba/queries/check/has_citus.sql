/* check.has_citus */
-- Return whether the catalogue of Citus is there.
-- returns: one

SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL AS has_citus;
