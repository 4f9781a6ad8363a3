-- migrate:up
-- The functions: what a list is, what is searched and how, and the guard against generic plans.
--
-- Every name in a body is qualified or from pg_catalog: a restored dump and any
-- search_path find them. A backslash stands in an E'' string alone: a body is read under the
-- settings of whoever calls it, and standard_conforming_strings may be off there.

-- How many entries a message or reference has: of a list, its length. A value that is not a
-- list counts below 0, by what an append makes of it: -1, an object, the first entry of a list;
-- -2, {} or null, an empty list; -3, anything else, to which nothing can be appended. NULL: no
-- value is given.
CREATE FUNCTION conversation_store.entry_count(value json) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE json_typeof(value)
        WHEN 'array' THEN json_array_length(value)
        WHEN 'object' THEN CASE WHEN value::text ~ '^\s*\{\s*\}' THEN -2 ELSE -1 END
        WHEN 'null' THEN -2
        WHEN 'string' THEN -3
        WHEN 'number' THEN -3
        WHEN 'boolean' THEN -3
    END
$$;

-- The count after an append, by the rule of entry_count; NULL where nothing can be appended. An
-- append of nothing leaves any value as it is.
CREATE FUNCTION conversation_store.appended_count(count integer, added integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN added = 0 OR count >= 0 THEN count + added
        WHEN count = -1 THEN 1 + added
        WHEN count = -2 THEN added
    END
$$;

-- The entries of a message or reference: a list is its members from position 1, any other value
-- is the one entry at position 1; none of NULL. The server inlines these three functions into
-- the statements that call them.
CREATE FUNCTION conversation_store.entries(value json)
-- A keyword that has to be quoted here, and nowhere else, which the linter does not know (RF).
RETURNS TABLE ("position" integer, body json) -- noqa: RF06
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10 AS $$
    SELECT e.ordinality::integer, e.body
    FROM json_array_elements(CASE WHEN json_typeof(value) = 'array' THEN value END) WITH ORDINALITY AS e (body, ordinality)
    UNION ALL
    SELECT 1, value WHERE json_typeof(value) <> 'array'
$$;

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

-- True, at a price that no plan can bear. A statement that contains it is planned for the
-- actual values of its parameters, in which the term folds away, and never frozen into a
-- generic plan. PL/pgSQL, because an inlined function would have no price.
CREATE FUNCTION conversation_store.force_custom_plan(t text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1e12 AS $$ BEGIN RETURN true; END $$;

-- migrate:down
-- None on purpose: the indexes and statements need them.
