/* review.tables */
-- Return the tables of some schemas, with their comments, but for those of extensions.
--
-- returns: many
SELECT
    c.oid,
    n.nspname AS schema,
    c.relname AS name,
    obj_description(c.oid, 'pg_class') AS comment,
    c.reltuples::bigint AS rows
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
WHERE n.nspname = ANY(:schemas::text[]) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
ORDER BY n.nspname, c.relname;
