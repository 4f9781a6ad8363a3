/* ragflow_mysql.agents */
-- Ask for no row of the agents: an error says whether the table is missing or may not be read.
--
-- Run on the database to move from, whose list of tables hides one that the account may not read.
-- returns: many

SELECT s.id
FROM user_canvas AS s
LIMIT 0;
