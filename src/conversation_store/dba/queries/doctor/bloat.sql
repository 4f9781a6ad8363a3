/* doctor.bloat */
-- Return how many pages each table has, and about how many its rows would fill by their statistics.
--
-- A row has a header of 24 bytes and a pointer of 4, and is rounded up to 8; a page has 24 bytes of its own.
-- Only tables that were analysed, and whose statistics the role may read.
--
-- returns: many
SELECT
    w.name,
    w.pages,
    ceil(
        w.rows / greatest(1, floor((w.block - 24) * w.fillfactor / 100 / (28 + ceil(w.width / 8) * 8)))
    )::bigint AS needed
FROM (
    SELECT
        c.relname::text AS name,
        c.reltuples::double precision AS rows,
        current_setting('block_size')::double precision AS block,
        pg_relation_size(c.oid) / current_setting('block_size')::bigint AS pages,
        sum((1 - s.null_frac) * s.avg_width) AS width,
        coalesce(
            (
                SELECT p.option_value::double precision
                FROM pg_options_to_table(c.reloptions) AS p
                WHERE p.option_name = 'fillfactor'
            ), 100
        ) AS fillfactor
    FROM pg_catalog.pg_class AS c
    INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
    INNER JOIN pg_catalog.pg_stats AS s ON n.nspname = s.schemaname AND c.relname = s.tablename
    WHERE n.nspname = 'conversation_store' AND c.relkind = 'r' AND c.reltuples >= 0
    GROUP BY c.oid, c.relname, c.reltuples, c.reloptions
) AS w
ORDER BY w.name;
