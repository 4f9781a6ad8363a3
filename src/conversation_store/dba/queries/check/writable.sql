/* check.writable */
-- Return whether a transaction may write, as it may not on a standby.
-- returns: one

SELECT current_setting('transaction_read_only') = 'off' AS is_writable;
