/* doctor.privileges */
-- Return what the role may not do with each table, and whether row-level security holds for it.
--
-- returns: many
SELECT
    c.relname::text AS name,
    array_remove(
        ARRAY[
            CASE WHEN NOT has_table_privilege(c.oid, 'SELECT') THEN 'SELECT' END,
            CASE WHEN NOT has_table_privilege(c.oid, 'INSERT') THEN 'INSERT' END,
            CASE WHEN NOT has_table_privilege(c.oid, 'UPDATE') THEN 'UPDATE' END,
            CASE WHEN NOT has_table_privilege(c.oid, 'DELETE') THEN 'DELETE' END
        ], NULL
    ) AS lacks,
    row_security_active(c.oid) AS has_policies
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
WHERE n.nspname = 'conversation_store' AND c.relkind IN ('r', 'p') AND NOT starts_with(c.relname, 'schema_')
ORDER BY c.relname;
