/* conversation.update_by_id */
-- Apply the given fields of a conversation, and leave its messages and references as they are.
--
-- :changes holds the given scalar fields, NULL included; :dsl is NULL where it is left as it
-- is. Messages, references and an expected revision take append_message.sql, which locks the
-- row first. Served by conversation_pkey; locks that row.
-- returns: count
-- index: conversation_pkey

UPDATE conversation_store.conversation AS c
SET
    -- One CASE a column: a reference to the whole row would read its dsl, however large.
    name = CASE
        WHEN :changes::jsonb ? 'name' THEN :changes::jsonb ->> 'name'
        ELSE c.name
    END,
    user_id = CASE
        WHEN :changes::jsonb ? 'user_id' THEN :changes::jsonb ->> 'user_id'
        ELSE c.user_id
    END,
    exp_user_id = CASE
        WHEN :changes::jsonb ? 'exp_user_id' THEN :changes::jsonb ->> 'exp_user_id'
        ELSE c.exp_user_id
    END,
    tokens = CASE
        WHEN :changes::jsonb ? 'tokens' THEN (:changes::jsonb ->> 'tokens')::bigint
        ELSE c.tokens
    END,
    source = CASE
        WHEN :changes::jsonb ? 'source' THEN :changes::jsonb ->> 'source'
        ELSE c.source
    END,
    -- A large value that is as it was is not written again.
    dsl = CASE
        WHEN :dsl::json IS NULL OR :dsl::json::text = c.dsl::text THEN c.dsl
        ELSE :dsl::json
    END,
    duration = CASE
        WHEN :changes::jsonb ? 'duration' THEN (:changes::jsonb ->> 'duration')::double precision
        ELSE c.duration
    END,
    thumb_up = CASE
        WHEN :changes::jsonb ? 'thumb_up' THEN (:changes::jsonb ->> 'thumb_up')::integer
        ELSE c.thumb_up
    END,
    errors = CASE
        WHEN :changes::jsonb ? 'errors' THEN :changes::jsonb ->> 'errors'
        ELSE c.errors
    END,
    version_title = CASE
        WHEN :changes::jsonb ? 'version_title' THEN :changes::jsonb ->> 'version_title'
        ELSE c.version_title
    END,
    update_date = now(),
    revision = c.revision + 1
WHERE c.id = :id::text
    AND c.tenant_id = :tenant_id::text
    AND coalesce(c.dialog_id = :dialog_id::text, TRUE);
