/* ragflow_mysql.tables */
-- List which of the tables to move are there, and about how many rows each has.
--
-- Run on the database to move from. The number is the server's guess, -1 where it has none.
-- Where the case of a table's name matters, it must be that of RAGFlow.
-- returns: many

SELECT
    lower(t.table_name) AS name,
    cast(coalesce(t.table_rows, -1) AS signed) AS estimate
FROM information_schema.tables AS t
WHERE t.table_schema = database()
    AND lower(t.table_name) IN :names
    AND (
        @@lower_case_table_names <> 0
        OR hex(t.table_name) = hex(lower(t.table_name))
    )
ORDER BY name;
