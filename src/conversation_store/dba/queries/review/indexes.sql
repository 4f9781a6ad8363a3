/* review.indexes */
-- Return the indexes of some tables, in order of their names.
--
-- returns: many
SELECT
    i.indrelid AS table,
    c.relname AS name,
    pg_get_indexdef(i.indexrelid) AS definition,
    i.indisunique AS "unique",
    i.indisvalid AS valid
FROM pg_catalog.pg_index AS i
INNER JOIN pg_catalog.pg_class AS c ON i.indexrelid = c.oid
WHERE i.indrelid = ANY(:tables::oid[])
ORDER BY i.indrelid, c.relname;
