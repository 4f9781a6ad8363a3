/* dialog.insert_many */
-- Insert new dialogs, all of them or none.
--
-- :dialogs is a list of objects; a date of null is now. JSON and not arrays, in whose text a
-- NULL is a word where array_nulls is off. An id that is there already is the primary key's
-- error.
-- returns: count
-- index: none
-- sorts: the given rows

INSERT INTO conversation_store.dialog (
    id,
    tenant_id,
    name,
    create_date,
    update_date
)
SELECT
    g.id,
    :tenant_id::text,
    g.name,
    coalesce(g.create_date, now()),
    coalesce(g.update_date, g.create_date, now())
FROM json_to_recordset(:dialogs::json) AS g (
        id text,
        name text,
        create_date timestamptz,
        update_date timestamptz
    )
ORDER BY g.id;
