/* doctor.bitmap */
-- Return how large a bitmap of every page of the searched tables is, at 64 bytes a page, and its room.
--
-- As the function bitmap_fits, which the searches ask, but without a right on the schema.
--
-- returns: one
SELECT
    coalesce(max(64 * pg_relation_size(c.oid) / current_setting('block_size')::bigint), 0) AS needed,
    pg_size_bytes(current_setting('work_mem')) AS work_mem
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
WHERE n.nspname = 'conversation_store' AND c.relname IN ('conversation', 'conversation_message');
