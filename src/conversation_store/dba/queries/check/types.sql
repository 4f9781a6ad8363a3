/* check.types */
-- Return the names of all types.
-- returns: many

SELECT
    t.oid::bigint AS oid,
    pg_catalog.format_type(t.oid, NULL) AS name
FROM pg_catalog.pg_type AS t
ORDER BY t.oid;
