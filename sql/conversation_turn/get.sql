/* conversation_turn.get */
-- Return the round that a turn got, and whether it had this content.
--
-- Served by conversation_turn_pkey.
-- returns: optional
-- not_null: same_content, since :digest is given
-- index: conversation_turn_pkey

SELECT
    t.round,
    t.digest = :digest::bytea AS same_content
FROM conversation_store.conversation_turn AS t
WHERE t.tenant_id = :tenant_id::text
    AND t.conversation_id = :id::text
    AND t.turn_id = :turn_id::text;
