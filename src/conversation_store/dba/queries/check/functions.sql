/* check.functions */
-- Return the names of the functions that are not the server's own.
-- returns: many

SELECT DISTINCT n.nspname || '.' || p.proname AS name
FROM pg_catalog.pg_proc AS p
INNER JOIN pg_catalog.pg_namespace AS n ON p.pronamespace = n.oid
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY name;
