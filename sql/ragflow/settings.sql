/* ragflow.settings */
-- Set how the database to move from is read, until the transaction of the import ends.
--
-- Dates may be stored with a time zone after all: their wall clock in this zone is read. Numbers
-- of single precision are read with all their digits. The transaction is long, and waits while
-- rows are stored. A pooler may hand the server to another client afterwards, which must not
-- find this.
-- returns: one
-- not_null: time_zone, extra_float_digits, since set_config returns what was set
-- index: none

SELECT
    set_config('TimeZone', :time_zone::text, TRUE) AS time_zone,
    set_config('extra_float_digits', '1', TRUE) AS extra_float_digits,
    (
        SELECT count(set_config(s.name, '0', TRUE))
        FROM pg_catalog.pg_settings AS s
        WHERE s.name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
    ) AS timeouts;
