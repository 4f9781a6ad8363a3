/* doctor.process */
-- Return the process of the server that answers.
--
-- returns: one
SELECT pg_backend_pid() AS process;
