/* api_token.used */
-- Stamp the use of the live token with this secret.
--
-- One row by api_token_token_digest_key; the stamp touches no indexed column. Whoever finds
-- the row locked waits: authenticate.sql does not.
-- returns: count

UPDATE conversation_store.api_token AS t
SET
    update_date = statement_timestamp(),
    use_date = statement_timestamp()
WHERE t.token_digest = :token_digest::bytea
    AND t.revoke_date IS NULL
    -- The clock, which goes on while this waits for the row.
    AND (t.expire_date IS NULL OR t.expire_date > clock_timestamp());
