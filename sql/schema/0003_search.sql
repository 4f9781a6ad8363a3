-- migrate:up
-- The search: what the text of a message is, how it is compared, and the indexes that find it.
--
-- Every name in a body is qualified or from pg_catalog: a restored dump and any
-- search_path find them. A backslash stands in an E'' string alone: a body is read under the
-- settings of whoever calls it, and standard_conforming_strings may be off there.

-- The text of a message: its content, the texts of its parts, or the message itself when
-- it is a plain string. PL/pgSQL, because an SQL function with a subquery is never
-- inlined and then costs several times as much a row.
CREATE FUNCTION conversation_store.message_text(body json) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10 AS $$
DECLARE
    content json;
BEGIN
    IF json_typeof(body) = 'string' THEN
        RETURN body #>> '{}';
    ELSIF json_typeof(body) <> 'object' THEN
        RETURN NULL;
    END IF;
    content := body -> 'content';
    IF json_typeof(content) = 'string' THEN
        RETURN content #>> '{}';
    ELSIF json_typeof(content) = 'array' THEN
        RETURN (
            SELECT string_agg(CASE json_typeof(p.value)
                WHEN 'string' THEN p.value #>> '{}'
                WHEN 'object' THEN p.value ->> 'text'
            END, E'\n' ORDER BY p.ordinality)
            FROM json_array_elements(content) WITH ORDINALITY AS p (value, ordinality)
        );
    END IF;
    RETURN NULL;
END
$$;

-- Case is folded under the database's collation, never under an inherited one: the "C"
-- of an id would leave É as it is.
CREATE FUNCTION conversation_store.fold(t text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT lower(t COLLATE "default") $$;

-- Each ideograph, kana and hangul doubled, so that every pair of neighbours is a word
-- which a trigram index can find: 检索 → 检 检索 索.
CREATE FUNCTION conversation_store.pairs(t text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(t, '([ᄀ-ᇿ々-〇ぁ-ゖァ-ヺー-ヿㄱ-ㆎㇰ-ㇿ㐀-䶿一-鿿가-힣豈-﫿ｦ-ﾝ𠀀-𳿿])', E'\\1 \\1', 'g')
$$;

-- What the search indexes hold.
CREATE FUNCTION conversation_store.search_text(t text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT conversation_store.pairs(conversation_store.fold(t))
$$;

-- The LIKE pattern that a search index can serve for a keyword, or NULL where none can: a
-- lone ideograph, fewer than three letters. Since pairs() works letter by letter, the pairs of
-- a keyword are in the pairs of every text that contains it. The pattern only narrows;
-- strpos(fold(text), fold(keyword)) > 0 decides.
-- A server that may leave out what an index finds is no place for a search.
CREATE FUNCTION conversation_store.search_pattern(keyword text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    IF current_setting('gin_fuzzy_search_limit') <> '0' THEN
        RAISE EXCEPTION 'gin_fuzzy_search_limit must be 0 for a search by keyword, or the indexes leave out rows'
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN CASE
        -- Two neighbours that pairs() doubles. Under LC_CTYPE "C" they are no letters, and no trigram holds one.
        WHEN conversation_store.fold(keyword)
            ~ '(?=[[:alnum:]]{2})[ᄀ-ᇿ々-〇ぁ-ゖァ-ヺー-ヿㄱ-ㆎㇰ-ㇿ㐀-䶿一-鿿가-힣豈-﫿ｦ-ﾝ𠀀-𳿿]{2}'
            OR conversation_store.fold(keyword) ~ '[[:alnum:]]{3}'
            THEN '%' || regexp_replace(conversation_store.search_text(keyword), E'([%_\\\\])', E'\\\\\\1', 'g') || '%'
    END;
END
$$;

-- Trusted extensions: the owner of a database may create them. One that is here already,
-- in whatever schema, is used where it is. The schema is named: that of a role's search_path
-- may be none, or a schema of others.
CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public;
CREATE EXTENSION IF NOT EXISTS btree_gin SCHEMA public;

SELECT set_config(
    'search_path',
    (
        SELECT string_agg(DISTINCT quote_ident(n.nspname), ', ')
        FROM pg_catalog.pg_extension AS e
        INNER JOIN pg_catalog.pg_namespace AS n ON e.extnamespace = n.oid
        WHERE e.extname IN ('pg_trgm', 'btree_gin')
    ),
    TRUE
);

-- The keyword search: the text of each message, and the id and name of each conversation. The
-- tenant comes first: two tenants may have the same dialog id, and the search of one must not
-- read the messages of the other, whose number its time would tell.
CREATE INDEX conversation_message_tenant_id_dialog_id_search_idx
ON conversation_store.conversation_message
USING gin (
    tenant_id,
    dialog_id,
    conversation_store.search_text(conversation_store.message_text(body)) gin_trgm_ops
);

CREATE INDEX conversation_tenant_id_dialog_id_search_idx
ON conversation_store.conversation
USING gin (
    tenant_id,
    dialog_id,
    conversation_store.search_text(id || E'\n' || coalesce(name, '')) gin_trgm_ops
);

-- migrate:down
-- None on purpose: drop a single index by name where that is wanted.
