/* doctor.locale */
-- Return how the database compares and folds letters.
--
-- returns: one
SELECT
    pg_encoding_to_char(d.encoding)::text AS encoding,
    d.datctype::text AS letters,
    lower('É') = 'é' AS folds,
    d.datcollversion AS recorded,
    pg_database_collation_actual_version(d.oid) AS actual
FROM pg_catalog.pg_database AS d
WHERE d.datname = current_database();
