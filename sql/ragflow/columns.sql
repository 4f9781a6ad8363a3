/* ragflow.columns */
-- List the columns of the tables to move that are there.
--
-- Run on the database to move from, before anything is written: an older RAGFlow has fewer.
-- returns: many
-- not_null: table_name, since it is one of :names, which has no NULL in it
-- index: none
-- sorts: the columns of the tables that are named

SELECT
    t.name AS table_name,
    a.attname::text AS name
FROM unnest(:names::text[]) AS t (name)
INNER JOIN pg_catalog.pg_attribute AS a
    ON a.attrelid = to_regclass('public.' || quote_ident(t.name))
WHERE a.attnum > 0
    AND NOT a.attisdropped
ORDER BY t.name, a.attnum;
