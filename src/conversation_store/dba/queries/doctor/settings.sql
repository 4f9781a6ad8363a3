/* doctor.settings */
-- Return settings as this session has them.
--
-- returns: many
SELECT
    s.name,
    s.setting AS value
FROM pg_catalog.pg_settings AS s
WHERE s.name = ANY(:names::text[])
ORDER BY s.name;
