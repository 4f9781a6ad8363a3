/* top.extension */
-- Return where the extension pg_stat_statements is, in which version, and who asks.
--
-- No row: it was not created in this database. Its schema is written as a search_path has it.
--
-- returns: optional
SELECT
    quote_ident(n.nspname) AS schema,
    string_to_array(e.extversion, '.')::int[] AS version,
    current_user::text AS role
FROM pg_catalog.pg_extension AS e
INNER JOIN pg_catalog.pg_namespace AS n ON e.extnamespace = n.oid
WHERE e.extname = 'pg_stat_statements';
