/* top.since */
-- Return since when the server counts, how often it has given up statements, and which it tracks.
--
-- Runs with the schema of the extension as the search_path, since an extension may be in any schema.
--
-- returns: one
SELECT
    i.stats_reset AS since,
    i.dealloc AS given_up,
    current_setting('pg_stat_statements.track') AS tracked
FROM pg_stat_statements_info AS i;
