/* doctor.sample */
-- Return a conversation of the dialog that has most, as far as the statistics say, or of any dialog.
--
-- returns: optional
SELECT
    c.tenant_id,
    c.dialog_id,
    c.id
FROM conversation_store.conversation AS c
WHERE
    c.dialog_id = coalesce(
        (
            SELECT (s.most_common_vals::text::text[])[1]
            FROM pg_catalog.pg_stats AS s
            WHERE
                s.schemaname = 'conversation_store'
                AND s.tablename = 'conversation'
                AND s.attname = 'dialog_id'
        ),
        (SELECT o.dialog_id FROM conversation_store.conversation AS o LIMIT 1)
    )
LIMIT 1;
