/* check.objects */
-- Return what the schema consists of, each with its definition, as the migrations make it.
--
-- Without the tables in which migrations are recorded. Runs with an empty search_path, so that every
-- name is qualified. What a function does is its digest. A definition says nothing of validity.
-- A setting is what a server may be tuned by: only those that the migrations make are missed.
-- returns: many

WITH tables AS (
    SELECT
        c.oid,
        c.relname,
        c.relkind,
        c.reloptions,
        c.relrowsecurity,
        c.relpersistence
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = to_regnamespace('conversation_store')
        AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND c.relname NOT LIKE 'schema\_%'
)

SELECT
    'table' AS kind,
    t.relname::text AS name,
    '' AS table_name,
    concat_ws(
        ' ',
        CASE t.relkind
            WHEN 'v' THEN 'view'
            WHEN 'm' THEN 'materialized view'
            WHEN 'f' THEN 'foreign table'
            ELSE 'table'
        END,
        CASE WHEN t.relpersistence = 'u' THEN 'unlogged' END,
        (
            SELECT 'with ' || o.setting
            FROM unnest(t.reloptions) AS o (setting)
            WHERE o.setting LIKE 'fillfactor=%'
        )
    ) AS definition,
    TRUE AS is_valid
FROM tables AS t
UNION ALL
SELECT
    'column',
    a.attname::text,
    t.relname::text,
    concat_ws(
        ' ',
        pg_catalog.format_type(a.atttypid, a.atttypmod),
        (
            SELECT 'COLLATE "' || c.collname || '"'
            FROM pg_catalog.pg_collation AS c
            WHERE c.oid = a.attcollation
                AND c.collname <> 'default'
        ),
        CASE WHEN a.attnotnull THEN 'NOT NULL' END,
        CASE WHEN a.attgenerated <> '' THEN 'GENERATED' WHEN a.attidentity <> '' THEN 'IDENTITY' END,
        'DEFAULT ' || (
            SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid)
            FROM pg_catalog.pg_attrdef AS d
            WHERE d.adrelid = a.attrelid
                AND d.adnum = a.attnum
        )
    ),
    TRUE
FROM tables AS t
INNER JOIN pg_catalog.pg_attribute AS a ON t.oid = a.attrelid
WHERE a.attnum > 0
    AND NOT a.attisdropped
UNION ALL
SELECT
    'setting',
    split_part(o.setting, '=', 1) || ' of ' || a.attname,
    t.relname::text,
    split_part(o.setting, '=', 2),
    TRUE
FROM tables AS t
INNER JOIN pg_catalog.pg_attribute AS a ON t.oid = a.attrelid
CROSS JOIN LATERAL unnest(a.attoptions) AS o (setting)
WHERE NOT a.attisdropped
UNION ALL
SELECT
    'setting',
    split_part(o.setting, '=', 1),
    t.relname::text,
    split_part(o.setting, '=', 2),
    TRUE
FROM tables AS t
CROSS JOIN LATERAL unnest(t.reloptions) AS o (setting)
WHERE o.setting NOT LIKE 'fillfactor=%'
UNION ALL
SELECT
    'setting',
    'row-level security',
    t.relname::text,
    '',
    TRUE
FROM tables AS t
WHERE t.relrowsecurity
UNION ALL
-- From PostgreSQL 18 on a NOT NULL is a constraint too; its column has it already. A foreign key
-- holds by triggers on both tables, which may be switched off.
SELECT
    'constraint',
    k.conname::text,
    t.relname::text,
    concat_ws(
        ' ',
        replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID', ''),
        (
            SELECT 'DISABLED ON ' || string_agg(DISTINCT c.relname, ', ')
            FROM pg_catalog.pg_trigger AS g
            INNER JOIN pg_catalog.pg_class AS c ON g.tgrelid = c.oid
            WHERE g.tgconstraint = k.oid
                AND g.tgenabled IN ('D', 'R')
        )
    ),
    k.convalidated AND coalesce(i.indisvalid AND i.indisready, TRUE)
FROM tables AS t
INNER JOIN pg_catalog.pg_constraint AS k ON t.oid = k.conrelid
LEFT JOIN pg_catalog.pg_index AS i ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
WHERE k.contype NOT IN ('n', 't')
UNION ALL
-- The index of a key is that of its constraint. Without its SET STATISTICS it is another index.
SELECT
    'index',
    c.relname::text,
    t.relname::text,
    concat_ws(
        '; ',
        pg_catalog.pg_get_indexdef(i.indexrelid),
        (
            SELECT
                string_agg(
                    format(
                        'ALTER INDEX conversation_store.%I ALTER COLUMN %s SET STATISTICS %s',
                        c.relname,
                        a.attnum,
                        a.attstattarget
                    ),
                    '; ' ORDER BY a.attnum
                )
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = i.indexrelid
                AND a.attstattarget >= 0
        )
    ),
    i.indisvalid AND i.indisready
FROM tables AS t
INNER JOIN pg_catalog.pg_index AS i ON t.oid = i.indrelid
INNER JOIN pg_catalog.pg_class AS c ON i.indexrelid = c.oid
WHERE NOT EXISTS (
        SELECT 1
        FROM pg_catalog.pg_constraint AS k
        WHERE k.conindid = i.indexrelid
            AND k.conrelid = i.indrelid
            AND k.contype IN ('p', 'u', 'x')
    )
UNION ALL
SELECT
    'trigger',
    g.tgname::text,
    t.relname::text,
    pg_catalog.pg_get_triggerdef(g.oid),
    TRUE
FROM tables AS t
INNER JOIN pg_catalog.pg_trigger AS g ON t.oid = g.tgrelid
WHERE NOT g.tgisinternal
UNION ALL
SELECT
    'function',
    p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
    '',
    concat_ws(
        ' ',
        'RETURNS ' || pg_catalog.pg_get_function_result(p.oid),
        'LANGUAGE ' || l.lanname,
        CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
        CASE WHEN p.proisstrict THEN 'STRICT' END,
        CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END,
        CASE p.proparallel WHEN 's' THEN 'PARALLEL SAFE' WHEN 'r' THEN 'PARALLEL RESTRICTED' END,
        'COST ' || p.procost,
        'ROWS ' || nullif(p.prorows, 0),
        'SET ' || array_to_string(p.proconfig, ', '),
        'AS ' || encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex')
    ),
    TRUE
FROM pg_catalog.pg_proc AS p
INNER JOIN pg_catalog.pg_language AS l ON p.prolang = l.oid
WHERE p.pronamespace = to_regnamespace('conversation_store')
ORDER BY
    kind,
    table_name,
    name;
