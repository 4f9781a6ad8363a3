-- migrate:up
-- The tables are empty: they come with the same release.
-- squawk-ignore-file require-concurrent-index-creation
--
-- The search: what the text of a message is, how it is compared, and the indexes that find it.
--
-- Every name in a body is qualified or from pg_catalog: a restored dump and any
-- search_path find them. A backslash stands in an E'' string alone: a body is read under the
-- settings of whoever calls it, and standard_conforming_strings may be off there.

-- The text of a message, as README.md lists it: at most 100,000 characters, without base64, the
-- texts in it separated by newlines; NULL where there is none. It raises for no value that the
-- store accepts, since it runs in every append. PL/pgSQL, because an SQL function with a
-- subquery is never inlined and then costs several times as much a row.
CREATE FUNCTION conversation_store.message_text(body json) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 100 AS $$
DECLARE
    t text := CASE
        WHEN starts_with(body::text, '{') THEN body ->> 'content'
        WHEN starts_with(body::text, '"') THEN body #>> '{}'
    END;
BEGIN
    -- Most messages are a text, or a role and a text and nothing else, which their lengths prove:
    -- without escapes the text is as long as its JSON, and with them its JSON is looked at.
    IF t IS NOT NULL AND octet_length(body::text) <= 400000 AND strpos(t, ';base64,') = 0 AND (
        starts_with(body::text, '{"role":"user","content":"') AND octet_length(body::text) = 28 + octet_length(t)
        OR starts_with(body::text, '{"role":"assistant","content":"')
        AND octet_length(body::text) = 33 + octet_length(t)
        OR strpos(t, E'\\u') = 0 AND (
            starts_with(body::text, '"')
            OR starts_with(body::text, '{"role":"user","content":"')
            AND octet_length(body::text) = 26 + octet_length((body -> 'content')::text)
            OR starts_with(body::text, '{"role":"assistant","content":"')
            AND octet_length(body::text) = 31 + octet_length((body -> 'content')::text)
            -- Others have an id and a date beside them, or their keys in another order.
            OR starts_with((body -> 'content')::text, '"')
            AND replace(body::text, (body -> 'content')::text, '')
            ~ (
                E'^[{](?:[ \t\n\r]*(?:"content"[ \t\n\r]*:'
                || E'|"(?:created_at|id|role)"[ \t\n\r]*:[ \t\n\r]*(?:"[^"\\\\]*"|-?[0-9.]*))'
                || E'[ \t\n\r]*,?)*[ \t\n\r]*[}]$'
            )
        )
    ) THEN
        RETURN CASE WHEN octet_length(t) <= 100000 THEN t ELSE left(t, 100000) END;
    -- The walk takes some 10 µs a part: of very many the JSON text is read instead.
    ELSIF octet_length(body::text) > 10000 AND conversation_store.message_size(body::text) > 10000 THEN
        t := conversation_store.message_leaves(conversation_store.message_cut(body::text));
    ELSE
        t := conversation_store.message_parts(body, 12);
    END IF;
    IF strpos(t, ';base64,') > 0 THEN
        t := regexp_replace(t, E'data:[^ \t\n\r,]*;base64,[A-Za-z0-9+/=_%-]*', E'\n', 'g');
    END IF;
    RETURN left(t, 100000);
END
$$;

-- How many commas and opening brackets a JSON text has: no fewer than values, but for one.
CREATE FUNCTION conversation_store.message_size(t text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT octet_length(t) - octet_length(replace(replace(replace(t, ',', ''), '{', ''), '[', ''))
$$;

-- The first 400,000 characters of a JSON text, those of base64 at the beginning of a string and in a
-- data: URL not counted: what one message costs has a bound.
CREATE FUNCTION conversation_store.message_cut(t text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN octet_length(t) <= 400000 THEN t
        ELSE left(regexp_replace(
            t, E'("|;base64,)(?:[A-Za-z0-9+/=_-]|\\\\(?:/|u00(?:2[bBfF]|3[dD]))){201,}', E'\\1', 'g'
        ), 400000)
    END
$$;

-- The texts of a message or of a part of it, in order: strings, the members of lists, and those of
-- objects that have a name of the list below. What a tool takes and returns may be anything,
-- and so may what is nested deeper than the levels that are left: all strings and numbers are text.
CREATE FUNCTION conversation_store.message_parts(part json, levels integer) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
DECLARE
    kind CONSTANT text := json_typeof(part);
BEGIN
    IF kind = 'string' THEN
        RETURN CASE
            -- A program wrote JSON that has such escapes, such as a tool of its answer.
            WHEN levels = 0 OR strpos(part::text, E'\\\\u') > 0 THEN conversation_store.message_free(part, 0)
            ELSE part #>> '{}'
        END;
    ELSIF levels = 0 THEN
        RETURN conversation_store.message_free(part, 0);
    ELSIF kind = 'array' THEN
        RETURN (
            SELECT string_agg(conversation_store.message_parts(e.item, levels - 1), E'\n' ORDER BY e.n)
            FROM json_array_elements(part) WITH ORDINALITY AS e (item, n)
            WHERE json_typeof(e.item) IN ('string', 'array', 'object')
        );
    ELSIF kind <> 'object' THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT string_agg(
            CASE
                -- A part of the Vercel AI SDK, "tool-" and the name of the tool.
                WHEN m.key = 'type' THEN substring(
                    m.item #>> '{}' FROM '^tool-(?!(?:call|result|error|invocation|approval-[a-z]+)$)(.+)$'
                )
                WHEN
                    m.key IN ('args', 'arguments', 'input', 'json', 'output', 'response', 'result')
                    OR m.key IN ('structuredContent', 'tool_kwargs')
                    OR m.key = 'content' AND part ->> 'part_kind' LIKE '%tool-return'
                    OR m.key = 'data' AND (part ->> 'type' LIKE 'data-%' OR part ->> 'kind' = 'data')
                    THEN conversation_store.message_free(m.item, levels)
                -- A string is base64 or an address here, but for the data of a document that is plain text.
                WHEN m.key IN ('audio', 'data', 'file_data', 'source') AND json_typeof(m.item) = 'string' THEN
                    CASE WHEN m.key = 'data' AND part ->> 'type' = 'text' THEN m.item #>> '{}' END
                WHEN json_typeof(m.item) = 'string' AND strpos(m.item::text, E'\\\\u') = 0 THEN m.item #>> '{}'
                ELSE conversation_store.message_parts(m.item, levels - 1)
            END,
            E'\n' ORDER BY m.n
        )
        FROM json_each(part) WITH ORDINALITY AS m (key, item, n)
        WHERE m.key = ANY('{
            additional_kwargs, args, arguments, attachments, audio, blocks, code, codeExecutionResult,
            code_execution_result, content, custom, data, displayName, display_name, document, errorText,
            executableCode, executable_code, experimental_attachments, file, fileData, fileName, file_data,
            file_name, filename, files, function, functionCall, functionResponse, function_call,
            function_response, inlineData, inline_data, input, json, kwargs, logs, message, name, output,
            outputs, parts, reasoning, reasoningContent, reasoningText, reasoning_content, refusal, response,
            result, results, source, structuredContent, summary, text, thinking, title, toolInvocation,
            toolInvocations, toolName, toolResult, toolUse, tool_call, tool_call_result, tool_calls,
            tool_kwargs, tool_name, transcript, type, value
        }'::text[])
    );
END
$$;

-- What may be anything: all strings and numbers in it, but parts are read as parts. A string that is a
-- JSON list or object is read as that, and any other is text as it is. PostgreSQL 15 has no function that
-- says whether a text is JSON and does not raise: its strings, then numbers and words become one
-- character each, then lists and objects, the inner first.
CREATE FUNCTION conversation_store.message_free(value json, levels integer) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
DECLARE
    t CONSTANT text := conversation_store.message_cut(value #>> '{}');
    first CONSTANT json := CASE WHEN levels > 0 THEN coalesce(value -> 'content', value) -> 0 END;
    rest text;
    shorter text;
BEGIN
    -- As MCP and OpenAI have them: a text, or data with its media type.
    IF
        first ->> 'type' IN ('text', 'input_text', 'output_text') AND json_typeof(first -> 'text') = 'string'
        OR json_typeof(first -> 'data') = 'string' AND json_typeof(first -> 'mimeType') = 'string'
    THEN
        RETURN conversation_store.message_parts(value, levels - 1);
    ELSIF NOT starts_with(value::text, '"') THEN
        RETURN conversation_store.message_leaves(t);
    ELSIF
        left(ltrim(t, E' \t\n\r'), 1) NOT IN ('{', '[')
        OR strpos(t, E'\x01') > 0
        OR strpos(t, E'\x02') > 0
        OR conversation_store.message_size(t) > 10000
    THEN
        RETURN value #>> '{}';
    END IF;
    -- No escape of U+0000 and of half a pair, which no text has.
    rest := regexp_replace(
        t,
        E'"(?:[^"\\\\\\x01-\\x1f]|\\\\(?:["\\\\/bfnrt]|u(?:[1-9a-cA-CeEfF][0-9a-fA-F]{3}'
        || E'|0(?:[1-9a-fA-F][0-9a-fA-F]{2}|0(?:[1-9a-fA-F][0-9a-fA-F]|0[1-9a-fA-F]))'
        || E'|[dD][0-7][0-9a-fA-F]{2}|[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2})))*"',
        E'\x01', 'g'
    );
    rest := regexp_replace(
        rest, E'-?(?:0|[1-9][0-9]*)(?:[.][0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null', E'\x02', 'g'
    );
    rest := translate(rest, E' \t\n\r', '');
    -- JSON of that size has no more, and deeper JSON would take too many passes.
    FOR level IN 1 .. CASE WHEN octet_length(rest) <= 60000 THEN 100 ELSE 0 END LOOP
        shorter := regexp_replace(
            rest,
            E'[[](?:[\x01\x02](?:,[\x01\x02])*)?[]]|[{](?:\x01:[\x01\x02](?:,\x01:[\x01\x02])*)?[}]',
            E'\x02',
            'g'
        );
        EXIT WHEN shorter = rest;
        rest := shorter;
    END LOOP;
    RETURN CASE WHEN rest = E'\x02' THEN conversation_store.message_leaves(t) ELSE value #>> '{}' END;
END
$$;

-- All strings and numbers of a JSON text, however deep, in order, but no keys and no base64; the
-- text may be cut anywhere. One pass without recursion: cut at its quotes, every second piece is a string,
-- and those in between are numbers and syntax.
CREATE FUNCTION conversation_store.message_leaves(t text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
DECLARE
    pieces CONSTANT text[] := string_to_array(
        replace(replace(t, E'\\\\', E'\x01'), E'\\"', E'\x02'), '"'
    );
    leaves text := (
        SELECT string_agg(
            CASE
                WHEN p.n % 2 = 1 THEN CASE WHEN p.piece NOT IN (',', ', ', ':', ': ') AND p.piece ~ '[0-9]' THEN
                    btrim(regexp_replace(p.piece, E'(?:[][{}:, \t\n\r]|true|false|null)+', E'\n', 'g'), E'\n')
                END
                WHEN starts_with(ltrim(p.after, E' \t\n\r'), ':') THEN NULL -- a key
                -- Base64, for whose letters some writers have escapes.
                WHEN
                    octet_length(p.piece) > 200
                    AND regexp_replace(p.piece, E'\\\\(?:/|u00(?:2[bBfF]|3[dD]))', '/', 'g') ~ '^[A-Za-z0-9+/=_-]{201,}$'
                    THEN NULL
                ELSE p.piece
            END,
            E'\n'
        )
        FROM unnest(pieces, pieces[2 :]) WITH ORDINALITY AS p (piece, after, n)
    );
BEGIN
    IF right(t, 1) NOT IN ('}', ']') THEN
        -- The text was cut: half an escape at its end, or half a pair.
        leaves := regexp_replace(
            leaves, E'(?:\\\\u[dD][89abAB][0-9a-fA-F]{2})?(?:\\\\(?:u[0-9a-fA-F]{0,3})?)?$', ''
        );
    END IF;
    leaves := replace(replace(leaves, E'\x02', E'\\"'), E'\x01', E'\\\\');
    RETURN CASE
        WHEN strpos(leaves, E'\\') = 0 THEN leaves
        ELSE ('"' || replace(leaves, E'\n', E'\\n') || '"')::json #>> '{}'
    END;
END
$$;

-- Case is folded under the database's collation, never under an inherited one: the "C"
-- of an id would leave É as it is.
CREATE FUNCTION conversation_store.fold(t text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT lower(t COLLATE "default") $$;

-- One number for each pair of neighbouring characters of the folded text, from their code points,
-- which end below 2^21: exact, in every script. NULL where there is no pair. The two unnest() go
-- in step: no join, and linear in the length.
CREATE FUNCTION conversation_store.search_pairs(t text) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 100 AS $$
DECLARE
    characters text[] := string_to_array(conversation_store.fold(t), NULL);
    pairs integer := cardinality(characters) - 1;
BEGIN
    RETURN CASE WHEN pairs > 0 THEN ARRAY(
        SELECT ascii(unnest(characters[: pairs]))::bigint << 21 | ascii(unnest(characters[2 :]))
    ) END;
END
$$;

-- The keys of a tenant and of a dialog, marked by a bit that no pair has.
CREATE FUNCTION conversation_store.tenant_key(tenant_id text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended(tenant_id COLLATE "C", 1) | (1::bigint << 62)
$$;

CREATE FUNCTION conversation_store.dialog_key(dialog_id text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended(dialog_id COLLATE "C", 2) | (1::bigint << 62)
$$;

-- What the search indexes hold of a text: its pairs, with the keys of its tenant and its dialog,
-- so that the search of one tenant does not read the texts of another, whose number its time
-- would tell. NULL where there is no pair: a text of the keys alone is found by no keyword.
CREATE FUNCTION conversation_store.search_keys(tenant_id text, dialog_id text, t text) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 100 AS $$
DECLARE
    pairs bigint[] := conversation_store.search_pairs(t);
BEGIN
    -- NULL || keys would be the keys.
    RETURN CASE
        WHEN pairs IS NOT NULL
            THEN pairs || ARRAY[conversation_store.tenant_key(tenant_id), conversation_store.dialog_key(dialog_id)]
    END;
END
$$;

-- The pairs of a keyword. A server that may leave out what an index finds is no place for a search.
CREATE FUNCTION conversation_store.keyword_pairs(keywords text) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 100 AS $$
BEGIN
    IF current_setting('gin_fuzzy_search_limit') <> '0' THEN
        RAISE EXCEPTION 'gin_fuzzy_search_limit must be 0 for a search by keyword, or the indexes leave out rows'
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN conversation_store.search_pairs(keywords);
END
$$;

-- The keys that every text of a dialog has in which a keyword occurs; NULL where no index serves
-- the keyword, since it has no pair. The keys only narrow: strpos(fold(text), fold(keyword)) > 0
-- decides. No key may be NULL: @> would find nothing. The dialog is first, since it leaves fewest.
CREATE FUNCTION conversation_store.keys_in_dialog(tenant_id text, dialog_id text, keywords text)
RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 100 AS $$
DECLARE
    pairs bigint[] := conversation_store.keyword_pairs(keywords);
BEGIN
    RETURN CASE
        WHEN pairs IS NOT NULL
            THEN conversation_store.dialog_key(dialog_id) || pairs || conversation_store.tenant_key(tenant_id)
    END;
END
$$;

-- The same for all dialogs of a tenant.
CREATE FUNCTION conversation_store.keys_in_tenant(tenant_id text, keywords text) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 100 AS $$
DECLARE
    pairs bigint[] := conversation_store.keyword_pairs(keywords);
BEGIN
    RETURN CASE WHEN pairs IS NOT NULL THEN pairs || conversation_store.tenant_key(tenant_id) END;
END
$$;

-- Those of the only dialog of a list, or of the tenant: NULL for the list means all dialogs.
CREATE FUNCTION conversation_store.keys_in_dialogs(tenant_id text, dialog_ids text[], keywords text)
RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN cardinality(dialog_ids) = 1
            THEN conversation_store.keys_in_dialog(tenant_id, dialog_ids[1], keywords)
        ELSE conversation_store.keys_in_tenant(tenant_id, keywords)
    END
$$;

-- The keys of one of the four conditions that a search puts to an index: 1 to 3 have a key each, and 4
-- has the others. Where there are fewer, the last key is repeated. Of keys in one condition GIN
-- reads all for each text that one of them has; of conditions it reads the next only where the
-- ones before it are met, and skips from one text that they have in common to the next.
CREATE FUNCTION conversation_store.keys_apart(keys bigint[], condition integer) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 100 AS $$
DECLARE
    first CONSTANT integer := least(condition, cardinality(keys));
BEGIN
    RETURN CASE WHEN condition < 4 THEN keys[first : first] ELSE keys[first :] END;
END
$$;

-- A keyword as it stands in a text, with what is around it, of 200 characters altogether: the
-- character before them, what is before the keyword, the keyword, what is behind it, the character
-- after them. By the first and the last a reader sees whether the cut went through what is one
-- character for people. NULL where the text does not have the keyword.
CREATE FUNCTION conversation_store.excerpt(t text, keywords text) RETURNS json
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
DECLARE
    folded CONSTANT text := conversation_store.fold(t);
    place CONSTANT integer := strpos(folded, conversation_store.fold(keywords));
    -- Where the keyword begins and ends in the folded text, then in the text.
    bounds integer[] := ARRAY[place, place + char_length(conversation_store.fold(keywords)) - 1];
    low integer;
    high integer;
    first integer;
    last integer;
BEGIN
    IF place = 0 THEN
        RETURN NULL;
    ELSIF char_length(folded) <> char_length(t) THEN
        -- Folding makes more characters of some, such as İ.
        FOR i IN 1 .. 2 LOOP
            low := 1;
            high := char_length(t);
            WHILE low < high LOOP
                IF char_length(conversation_store.fold(left(t, (low + high) / 2))) < bounds[i] THEN
                    low := (low + high) / 2 + 1;
                ELSE
                    high := (low + high) / 2;
                END IF;
            END LOOP;
            bounds[i] := low;
        END LOOP;
    END IF;
    bounds[2] := least(bounds[2], bounds[1] + 199);
    first := greatest(1, least(bounds[1] - (199 - bounds[2] + bounds[1]) / 2, char_length(t) - 199));
    last := greatest(bounds[2], first + 199);
    RETURN json_build_array(
        CASE WHEN first > 1 THEN substr(t, first - 1, 1) ELSE '' END,
        substr(t, first, bounds[1] - first),
        substr(t, bounds[1], bounds[2] - bounds[1] + 1),
        substr(t, bounds[2] + 1, last - bounds[2]),
        substr(t, last + 1, 1)
    );
END
$$;

-- Whether a bitmap of every page of the searched tables fits into work_mem, at 64 bytes a page. Of
-- one that does not fit, whole pages are kept, and the keys of all their texts are computed
-- again: some twenty times what it takes to read the texts.
CREATE FUNCTION conversation_store.bitmap_fits() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT
        64 * greatest(
            pg_relation_size('conversation_store.conversation_message'),
            pg_relation_size('conversation_store.conversation')
        ) <= pg_size_bytes(current_setting('work_mem')) * current_setting('block_size')::bigint
$$;

-- The keyword search: the text of each message, and the id and name of each conversation.
CREATE INDEX conversation_message_search_idx
ON conversation_store.conversation_message
USING gin (conversation_store.search_keys(tenant_id, dialog_id, conversation_store.message_text(body)));

CREATE INDEX conversation_search_idx
ON conversation_store.conversation
USING gin (conversation_store.search_keys(tenant_id, dialog_id, id || E'\n' || coalesce(name, '')));

-- ANALYZE would compute the keys of 30,000 texts and hold all of them in memory. The statements that
-- search count what they find, and need no statistics of it.
ALTER INDEX conversation_store.conversation_message_search_idx ALTER COLUMN 1 SET STATISTICS 0;
ALTER INDEX conversation_store.conversation_search_idx ALTER COLUMN 1 SET STATISTICS 0;

-- migrate:down
-- None on purpose: drop a single index by name where that is wanted.
