/* review.constraints */
-- Return the constraints of some tables, the primary key first.
--
-- From version 18, NOT NULL is a constraint too: its column says it.
--
-- returns: many
SELECT
    k.conrelid AS table,
    k.conname AS name,
    k.contype::text AS kind,
    pg_get_constraintdef(k.oid) AS definition,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(k.conkey) WITH ORDINALITY AS u (number, position)
        INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND u.number = a.attnum
        ORDER BY u.position
    ) AS columns,
    n.nspname || '.' || t.relname AS target,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(k.confkey) WITH ORDINALITY AS u (number, position)
        INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.confrelid AND u.number = a.attnum
        ORDER BY u.position
    ) AS target_columns
FROM pg_catalog.pg_constraint AS k
LEFT JOIN pg_catalog.pg_class AS t ON k.confrelid = t.oid
LEFT JOIN pg_catalog.pg_namespace AS n ON t.relnamespace = n.oid
WHERE k.conrelid = ANY(:tables::oid[]) AND k.contype <> 'n'
ORDER BY k.conrelid, position(k.contype::text IN 'pufxct'), k.conname;
