-- migrate:up
-- The functions: what a list is, and the guard against generic plans.
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
    -- Not CASE json_typeof(value) WHEN: Citus sends that form of it to a shard as something else.
    SELECT CASE
        WHEN json_typeof(value) = 'array' THEN json_array_length(value)
        WHEN json_typeof(value) = 'object' THEN CASE WHEN value::text ~ '^\s*\{\s*\}' THEN -2 ELSE -1 END
        WHEN json_typeof(value) = 'null' THEN -2
        WHEN value IS NOT NULL THEN -3
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

-- True, at a price that no plan can bear. A statement that contains it is planned for the
-- actual values of its parameters, in which the term folds away, and never frozen into a
-- generic plan. PL/pgSQL, because an inlined function would have no price.
CREATE FUNCTION conversation_store.force_custom_plan(t text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1e12 AS $$ BEGIN RETURN true; END $$;

-- migrate:down
-- None on purpose: the indexes and statements need them.
