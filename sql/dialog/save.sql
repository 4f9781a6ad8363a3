/* dialog.save */
-- Insert a dialog, or update the name of an existing one.
--
-- Returns no row when the dialog belongs to another tenant: it is never moved. A name
-- of NULL leaves the name as it is. Served by dialog_pkey.
-- returns: optional

INSERT INTO conversation_store.dialog AS d (
    id,
    tenant_id,
    name
)
SELECT
    :id::text,
    :tenant_id::text,
    :name::text
-- ON CONFLICT settles a race for one unique index only, and a dialog has two. So whoever
-- saves the same new dialog at the same moment waits here for their turn.
FROM (SELECT pg_advisory_xact_lock(hashtextextended('conversation_store.dialog ' || :id::text, 0))) AS turn
ON CONFLICT ON CONSTRAINT dialog_pkey DO UPDATE
    SET
        name = coalesce(excluded.name, d.name),
        update_date = now()
    WHERE d.tenant_id = excluded.tenant_id
RETURNING
    d.id,
    d.tenant_id,
    d.name,
    d.create_date,
    d.update_date;
