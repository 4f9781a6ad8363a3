/* ragflow_mysql.snapshot */
-- Begin the transaction of the import, which reads one snapshot and writes nothing.
--
-- returns: count

START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY;
