/* ragflow.tables */
-- List which of the tables to move are there, and about how many rows each has.
--
-- Run on the database to move from. The number is the planner's, -1 where it has none.
-- returns: many
-- not_null: name, since it is one of :names, which has no NULL in it
-- index: none
-- sorts: the tables that are named

SELECT
    t.name,
    c.reltuples::bigint AS estimate
FROM unnest(:names::text[]) AS t (name)
INNER JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass('public.' || quote_ident(t.name))
ORDER BY t.name;
