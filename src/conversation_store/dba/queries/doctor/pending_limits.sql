/* doctor.pending_limits */
-- Return how long the pending list of each search index may become before an append merges it, in kB.
--
-- returns: many
SELECT
    c.relname::text AS name,
    coalesce(
        (
            SELECT p.option_value FROM pg_options_to_table(c.reloptions) AS p
            WHERE p.option_name = 'gin_pending_list_limit'
        ),
        (
            SELECT s.setting FROM pg_catalog.pg_settings AS s
            WHERE s.name = 'gin_pending_list_limit'
        )
    )::bigint AS kilobytes
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
INNER JOIN pg_catalog.pg_am AS a ON c.relam = a.oid
WHERE n.nspname = 'conversation_store' AND c.relkind = 'i' AND a.amname = 'gin'
ORDER BY c.relname;
