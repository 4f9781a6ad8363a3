/* top.statements */
-- Return what the server has counted of each statement in this database, one row a statement and role.
--
-- Only what clients have sent: a statement within a function is part of the one that called it. Where
-- the role may not read the statements of others, these have neither an id nor a text.
--
-- Runs with the schema of the extension as the search_path, since an extension may be in any schema.
--
-- returns: many
SELECT
    s.queryid AS id,
    r.rolname::text AS role,
    s.query AS text,
    s.calls,
    s.total_exec_time AS total_ms,
    s.rows,
    s.shared_blks_hit AS hits,
    s.shared_blks_read AS reads,
    s.wal_bytes
FROM pg_stat_statements AS s
LEFT JOIN pg_catalog.pg_roles AS r ON s.userid = r.oid
WHERE
    s.dbid = (
        SELECT d.oid FROM pg_catalog.pg_database AS d
        WHERE d.datname = current_database()
    )
    AND s.toplevel
    AND s.calls > 0
ORDER BY s.total_exec_time DESC, s.userid ASC, s.queryid ASC;
