/* ragflow_mysql.columns */
-- List the columns of the tables to move that are there, as far as the account may read them.
--
-- Run on the database to move from, before anything is written: an older RAGFlow has fewer.
-- Where the case of a table's name matters, it must be that of RAGFlow.
-- returns: many

SELECT
    lower(c.table_name) AS table_name,
    lower(c.column_name) AS name
FROM information_schema.columns AS c
WHERE c.table_schema = database()
    AND lower(c.table_name) IN :names
    AND (
        @@lower_case_table_names <> 0
        OR hex(c.table_name) = hex(lower(c.table_name))
    )
ORDER BY table_name, c.ordinal_position;
