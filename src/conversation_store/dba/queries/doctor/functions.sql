/* doctor.functions */
-- Return the functions of the schema that the role may not execute.
--
-- returns: many
SELECT DISTINCT p.proname::text AS name
FROM pg_catalog.pg_proc AS p
INNER JOIN pg_catalog.pg_namespace AS n ON p.pronamespace = n.oid
WHERE n.nspname = 'conversation_store' AND NOT has_function_privilege(p.oid, 'EXECUTE')
ORDER BY name;
