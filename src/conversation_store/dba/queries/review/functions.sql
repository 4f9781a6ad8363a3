/* review.functions */
-- Return the functions of some schemas, but for those of extensions.
--
-- returns: many
SELECT
    n.nspname || '.' || p.proname AS name,
    pg_get_function_arguments(p.oid) AS arguments,
    pg_get_function_result(p.oid) AS result,
    pg_get_functiondef(p.oid) AS definition
FROM pg_catalog.pg_proc AS p
INNER JOIN pg_catalog.pg_namespace AS n ON p.pronamespace = n.oid
WHERE n.nspname = ANY(:schemas::text[]) AND p.prokind = 'f'
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
ORDER BY n.nspname, p.proname, arguments;
