/* conversation.get_messages */
-- Return messages of a conversation with their positions: the last ones, or a page of them.
--
-- The conversation by conversation_pkey, a range of conversation_message_pkey and one of
-- conversation_reference_pkey; no other entry is read. The range begins behind "after" or ends
-- before "before". Where both are NULL, it ends at the last entry, which is "last" of the method;
-- for the first page the method gives 0 as "after". Positions have no gaps up to the count, so
-- that the range needs no sort and no limit. Of a value that is not a list, the one
-- entry is at position 1. The references are a list of their own, by the same bounds. The
-- subqueries hide the flags from the planner, see get_by_id.sql.
-- returns: optional
-- not_null: more_message, more_reference, since :limit is given, and every bound is a number
-- index: conversation_pkey, conversation_message_pkey, conversation_reference_pkey

SELECT
    CASE
        WHEN (SELECT :include_messages::boolean)
            THEN (
                SELECT coalesce(json_agg(json_build_array(m.position, m.body) ORDER BY m.position), '[]')
                FROM conversation_store.conversation_message AS m
                WHERE m.tenant_id = :tenant_id::text
                    AND m.conversation_id = c.id
                    AND m.position > coalesce(:after::bigint, bound.message - :limit::bigint)
                    AND m.position <= bound.message
            )
    END AS message,
    -- Before the range, where it ends at a position, or behind it.
    CASE
        WHEN :after::bigint IS NULL THEN bound.message > :limit::bigint
        ELSE bound.message < number.message
    END AS more_message,
    CASE
        WHEN (SELECT :include_reference::boolean)
            THEN (
                SELECT coalesce(json_agg(json_build_array(r.position, r.body) ORDER BY r.position), '[]')
                FROM conversation_store.conversation_reference AS r
                WHERE r.tenant_id = :tenant_id::text
                    AND r.conversation_id = c.id
                    AND r.position > coalesce(:after::bigint, bound.reference - :limit::bigint)
                    AND r.position <= bound.reference
            )
    END AS reference,
    CASE
        WHEN :after::bigint IS NULL THEN bound.reference > :limit::bigint
        ELSE bound.reference < number.reference
    END AS more_reference
FROM conversation_store.conversation AS c
-- How many entries there are.
CROSS JOIN
    LATERAL (
        SELECT
            CASE WHEN c.message_count < 0 THEN 1 ELSE c.message_count END AS message,
            CASE WHEN c.reference_count < 0 THEN 1 ELSE c.reference_count END AS reference
    ) AS number
-- The last position of the range; least() ignores what is NULL.
CROSS JOIN
    LATERAL (
        SELECT
            least(number.message, :after::bigint + :limit::bigint, :before::bigint - 1) AS message,
            least(number.reference, :after::bigint + :limit::bigint, :before::bigint - 1) AS reference
    ) AS bound
WHERE c.id = :id::text
    AND c.tenant_id = :tenant_id::text
    AND coalesce(c.dialog_id = :dialog_id::text, TRUE);
