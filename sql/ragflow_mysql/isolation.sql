/* ragflow_mysql.isolation */
-- Set that all statements of a transaction read the same snapshot.
--
-- The name of the variable differs between servers and versions; this statement does not.
-- returns: count

SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ;
