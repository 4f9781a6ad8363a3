/* doctor.tables */
-- Return how large each table is, what vacuum has left to do, and the parameters that the table was given.
--
-- returns: many
SELECT
    c.relname::text AS name,
    c.reloptions AS options,
    greatest(c.reltuples, 0)::bigint AS rows,
    pg_relation_size(c.oid) / current_setting('block_size')::bigint AS pages,
    c.relallvisible AS visible,
    coalesce(s.n_dead_tup, 0) AS dead,
    coalesce(s.n_live_tup, 0) AS live,
    coalesce(s.n_mod_since_analyze, 0) AS changed,
    coalesce(s.last_analyze, s.last_autoanalyze) IS NOT NULL AS was_analyzed,
    age(c.relfrozenxid)::bigint AS age
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
LEFT JOIN pg_catalog.pg_stat_all_tables AS s ON c.oid = s.relid
WHERE n.nspname = 'conversation_store' AND c.relkind = 'r'
ORDER BY c.relname;
