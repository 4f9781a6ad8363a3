/* top.functions */
-- Return the bodies of the functions of the schema.
--
-- Older servers count the body of a function that folds while a statement is planned as a statement.
--
-- returns: many
SELECT p.prosrc AS body
FROM pg_catalog.pg_proc AS p
INNER JOIN pg_catalog.pg_namespace AS n ON p.pronamespace = n.oid
WHERE n.nspname = 'conversation_store' AND p.prosrc <> ''
ORDER BY p.oid;
