-- migrate:up
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
    t text := CASE WHEN starts_with(body::text, '"') THEN body #>> '{}' ELSE body ->> 'content' END;
BEGIN
    -- Most messages are a text, or a role and a text and nothing else, which their lengths prove:
    -- without escapes the text is as long as its JSON, and with them its JSON is looked at.
    IF octet_length(body::text) <= 100000 AND strpos(t, ';base64,') = 0 AND (
        starts_with(body::text, '"')
        OR starts_with(body::text, '{"role":"user","content":"') AND (
            octet_length(body::text) = 28 + octet_length(t)
            OR octet_length(body::text) = 26 + octet_length((body -> 'content')::text)
        )
        OR starts_with(body::text, '{"role":"assistant","content":"') AND (
            octet_length(body::text) = 33 + octet_length(t)
            OR octet_length(body::text) = 31 + octet_length((body -> 'content')::text)
        )
        -- Others have an id and a date beside them, or their keys in another order.
        OR starts_with((body -> 'content')::text, '"')
        AND replace(body::text, (body -> 'content')::text, '')
        ~ (
            E'^[{](?:\\s*(?:"content"\\s*:|"(?:created_at|id|role)"\\s*:\\s*(?:"[^"\\\\]*"|-?[0-9.]*))'
            || E'\\s*,?)*\\s*[}]$'
        )
    ) THEN
        RETURN t;
    END IF;
    t := conversation_store.message_parts(body, 12);
    IF strpos(t, ';base64,') > 0 THEN
        t := regexp_replace(t, E'data:[^\\s,;]*(?:;[^\\s,;]*)*;base64,[A-Za-z0-9+/=_%-]*', E'\n', 'g');
    END IF;
    RETURN left(t, 100000);
END
$$;

-- The texts of a message or of a part of it, in order: strings, the members of lists, and those of
-- objects that have a name of the list below. What a tool takes and returns may be anything,
-- and so may what is nested deeper than the levels that are left: message_leaves reads it.
CREATE FUNCTION conversation_store.message_parts(part json, levels integer) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
BEGIN
    IF json_typeof(part) = 'string' THEN
        RETURN part #>> '{}';
    ELSIF json_typeof(part) NOT IN ('array', 'object') THEN
        RETURN NULL;
    ELSIF levels = 0 THEN
        RETURN conversation_store.message_leaves(part);
    ELSIF json_typeof(part) = 'array' THEN
        RETURN (
            SELECT string_agg(conversation_store.message_parts(e.item, levels - 1), E'\n' ORDER BY e.n)
            FROM json_array_elements(part) WITH ORDINALITY AS e (item, n)
        );
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
                    THEN conversation_store.message_leaves(m.item)
                -- A string is base64 or an address here, but for the data of a document that is plain text.
                WHEN m.key IN ('audio', 'data', 'file_data', 'source') AND json_typeof(m.item) = 'string' THEN
                    CASE WHEN m.key = 'data' AND part ->> 'type' = 'text' THEN m.item #>> '{}' END
                WHEN json_typeof(m.item) = 'string' THEN m.item #>> '{}'
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

-- All strings and numbers of a value, however deep, in order; of a string that is JSON itself,
-- those in it. Keys, types of parts, media types and base64 are no text. One pass over the JSON
-- text without recursion: cut at its quotes, every second piece is a string, and those in
-- between are numbers and syntax.
CREATE FUNCTION conversation_store.message_leaves(value json) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
DECLARE
    is_string CONSTANT boolean := json_typeof(value) = 'string';
    original CONSTANT text := CASE WHEN is_string THEN value #>> '{}' ELSE value::text END;
    has_media CONSTANT boolean := strpos(original, '"mimeType"') > 0 OR strpos(original, '"mime_type"') > 0
        OR strpos(original, '"mediaType"') > 0 OR strpos(original, '"media_type"') > 0
        OR strpos(original, '"format"') > 0;
    leaves text;
    is_json boolean;
BEGIN
    IF is_string AND (
        left(original, 100) !~ E'^\\s*(?:[{]\\s*"|\\[\\s*["{\\[])'
        OR strpos(original, E'\x01') > 0 OR strpos(original, E'\x02') > 0
    ) THEN
        RETURN original;
    END IF;
    SELECT
        string_agg(
            CASE
                WHEN p.is_syntax THEN
                    CASE WHEN p.piece NOT IN (':', ',') AND p.piece ~ '[0-9]' THEN btrim(
                        regexp_replace(p.piece, E'(?:[][{}:,\\s]|true|false|null)+', E'\n', 'g'), E'\n'
                    ) END
                WHEN starts_with(ltrim(p.after, E' \t\n\r'), ':') THEN NULL -- a key
                WHEN
                    btrim(p.before, E' \t\n\r') = ':'
                    AND (
                        p.key IN ('mimeType', 'mime_type', 'mediaType', 'media_type')
                        OR p.key IN ('kind', 'type')
                        AND p.piece ~ '^(?:(?:input|output)_)?(?:audio|binary|content|file|image|json|media|text|video)$'
                        OR p.key IN ('blob', 'bytes', 'data') AND has_media AND p.piece ~ E'^[A-Za-z0-9+/=_\\\\-]*$'
                    )
                    THEN NULL
                WHEN octet_length(p.piece) > 200 AND p.piece ~ E'^[A-Za-z0-9+/=_\\\\-]+$' THEN NULL
                ELSE p.piece
            END,
            E'\n' ORDER BY p.n
        ),
        count(*) % 2 = 1 AND (NOT is_string OR bool_and(
            NOT p.is_syntax OR p.piece ~ E'^(?:[][{}:,\\s]|true|false|null|-?[0-9][0-9.eE+-]*)*$'
        ))
    INTO leaves, is_json
    FROM (
        SELECT
            s.piece,
            s.n,
            s.n % 2 = 1 AS is_syntax,
            lag(s.piece, 2) OVER w AS key,
            lag(s.piece) OVER w AS before,
            lead(s.piece) OVER w AS after
        FROM string_to_table(
            replace(replace(original, E'\\\\', E'\x01'), E'\\"', E'\x02'), '"'
        ) WITH ORDINALITY AS s (piece, n)
        WINDOW w AS (ORDER BY s.n)
    ) AS p;
    leaves := replace(replace(leaves, E'\x02', E'\\"'), E'\x01', E'\\\\');
    IF NOT is_json THEN
        RETURN original;
    ELSIF strpos(leaves, E'\\') = 0 THEN
        RETURN leaves;
    -- Escapes that cannot be read, U+0000 and halves of a pair among them, and control characters.
    ELSIF regexp_replace(
        leaves,
        E'\\\\(?:["\\\\/bfnrt]|u(?:[1-9a-cA-CeEfF][0-9a-fA-F]{3}'
        || E'|0(?:[1-9a-fA-F][0-9a-fA-F]{2}|0(?:[1-9a-fA-F][0-9a-fA-F]|0[1-9a-fA-F]))'
        || E'|[dD][0-7][0-9a-fA-F]{2}|[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}))',
        '',
        'g'
    ) ~ E'[\\\\\\x01-\\x09\\x0b-\\x1f]' THEN
        RETURN original;
    END IF;
    RETURN ('"' || replace(leaves, E'\n', E'\\n') || '"')::json #>> '{}';
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
-- decides. No key may be NULL: @> would find nothing.
CREATE FUNCTION conversation_store.keys_in_dialog(tenant_id text, dialog_id text, keywords text)
RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 100 AS $$
DECLARE
    pairs bigint[] := conversation_store.keyword_pairs(keywords);
BEGIN
    RETURN CASE
        WHEN pairs IS NOT NULL
            THEN pairs || ARRAY[conversation_store.tenant_key(tenant_id), conversation_store.dialog_key(dialog_id)]
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

-- The 200 characters around a keyword in a text, with the character before and the one after them,
-- by which a reader sees whether a cut went through what is one character for people; NULL where
-- the text does not have the keyword.
CREATE FUNCTION conversation_store.excerpt(t text, keywords text) RETURNS json
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
DECLARE
    folded CONSTANT text := conversation_store.fold(t);
    place CONSTANT integer := strpos(folded, conversation_store.fold(keywords));
    -- The keyword begins at a character of the text between these two.
    low integer := 1;
    high integer := char_length(t);
    first integer;
BEGIN
    IF place = 0 THEN
        RETURN NULL;
    ELSIF char_length(folded) = char_length(t) THEN
        low := place;
    ELSE
        -- Folding makes more characters of some, such as İ.
        WHILE low < high LOOP
            IF char_length(conversation_store.fold(left(t, (low + high) / 2))) < place THEN
                low := (low + high) / 2 + 1;
            ELSE
                high := (low + high) / 2;
            END IF;
        END LOOP;
    END IF;
    first := greatest(1, least(low - greatest(0, 200 - char_length(keywords)) / 2, char_length(t) - 199));
    RETURN json_build_array(
        CASE WHEN first > 1 THEN substr(t, first - 1, 1) ELSE '' END,
        substr(t, first, 200),
        substr(t, first + 200, 1)
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

-- migrate:down
-- None on purpose: drop a single index by name where that is wanted.
