/* conversation.set_import_date */
-- Give a conversation the round and the dates that it has where it is imported from.
--
-- For an import that replaces it: update_by_id has locked the row, and written the rest, in
-- the same transaction. Served by conversation_pkey.
-- returns: count
-- index: conversation_pkey

UPDATE conversation_store.conversation AS c
SET
    round = :round::integer,
    create_date = coalesce(:create_date::timestamptz, c.create_date),
    update_date = :update_date::timestamptz,
    import_date = :update_date::timestamptz
WHERE c.id = :id::text
    AND c.tenant_id = :tenant_id::text;
