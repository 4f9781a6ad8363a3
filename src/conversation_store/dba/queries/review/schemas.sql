/* review.schemas */
-- Return the schemas but for those of the server, and whether the search_path finds what is in them.
--
-- returns: many
SELECT
    n.nspname AS name,
    n.nspname = ANY(current_schemas(FALSE)) AS searched
FROM pg_catalog.pg_namespace AS n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY n.nspname;
