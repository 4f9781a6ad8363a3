/* doctor.planner */
-- Let the planner take a bitmap of an index, whatever it costs, until the transaction ends.
--
-- returns: one
SELECT
    set_config('enable_seqscan', 'off', TRUE) AS seqscan,
    set_config('enable_indexscan', 'off', TRUE) AS indexscan,
    set_config('enable_indexonlyscan', 'off', TRUE) AS indexonlyscan,
    set_config('enable_bitmapscan', 'on', TRUE) AS bitmapscan;
