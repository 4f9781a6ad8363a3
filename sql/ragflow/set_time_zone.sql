/* ragflow.set_time_zone */
-- Set the time zone of the session, and return it.
--
-- Run on the database to move from, where dates may be stored with a time zone after all: their
-- wall clock in this zone is read. The session is the import's own and ends with it.
-- returns: one

SELECT set_config('TimeZone', :time_zone::text, FALSE) AS time_zone;
