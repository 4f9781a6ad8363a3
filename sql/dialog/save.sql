/* dialog.save */
-- Insert a dialog, or update the name of an existing one.
--
-- A name of NULL leaves the name as it is. Served by dialog_pkey.
-- returns: one
-- index: dialog_pkey

INSERT INTO conversation_store.dialog AS d (
    id,
    tenant_id,
    name,
    update_date
)
VALUES (
    :id::text,
    :tenant_id::text,
    :name::text,
    now()
)
ON CONFLICT ON CONSTRAINT dialog_pkey DO UPDATE
    SET
        name = coalesce(excluded.name, d.name),
        -- Not now(): a function that is not immutable has no place here on a distributed table.
        update_date = excluded.update_date
RETURNING
    d.id,
    d.tenant_id,
    d.name,
    d.create_date,
    d.update_date;
