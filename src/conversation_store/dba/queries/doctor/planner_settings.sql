/* doctor.planner_settings */
-- Return the methods of the planner that were switched on or off.
--
-- returns: many
SELECT
    s.name,
    s.setting AS value,
    s.boot_val AS original
FROM pg_catalog.pg_settings AS s
WHERE s.name LIKE E'enable\\_%' AND s.vartype = 'bool' AND s.setting <> s.boot_val
ORDER BY s.name;
