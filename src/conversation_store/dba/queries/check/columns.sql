/* check.columns */
-- Return the columns of all tables and views.
--
-- From PostgreSQL 18 on a NOT NULL may be NOT VALID, and rows from before it be NULL.
-- returns: many

SELECT
    a.attrelid::bigint AS relation,
    a.attnum::integer AS number,
    n.nspname::text AS schema,
    c.relname::text AS table_name,
    pg_catalog.pg_table_is_visible(c.oid) AS is_visible,
    a.attname::text AS name,
    pg_catalog.format_type(a.atttypid, NULL) AS type,
    a.attnotnull AND NOT EXISTS (
        SELECT 1
        FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid = a.attrelid
            AND k.contype = 'n'
            AND NOT k.convalidated
            AND k.conkey = ARRAY[a.attnum]
    ) AS not_null,
    a.atthasdef OR a.attidentity <> '' AS has_default
FROM pg_catalog.pg_attribute AS a
INNER JOIN pg_catalog.pg_class AS c ON a.attrelid = c.oid
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
WHERE a.attnum > 0
    AND NOT a.attisdropped
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY
    a.attrelid,
    a.attnum;
