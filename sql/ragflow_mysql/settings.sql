/* ragflow_mysql.settings */
-- Set how the database to move from is read, until the session ends.
--
-- A date with a time zone (TIMESTAMP) is read in UTC. No mode of the server changes what a
-- statement means, as those do in which an empty text is NULL. The transaction is long, and
-- waits while rows are stored. The limits in executable comments are those that only MariaDB
-- has, and only MySQL.
-- returns: count

SET SESSION
    time_zone = '+00:00',
    sql_mode = '',
    sql_select_limit = 18446744073709551615,
    sql_big_selects = 1,
    net_write_timeout = 3600,
    net_read_timeout = 3600,
    /*M!100108 max_statement_time = 0, */
    /*M!100300 idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0, */
    /*!50708 max_execution_time = 0, */
    wait_timeout = 604800;
