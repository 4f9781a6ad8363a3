/* dialog.insert_many */
-- Insert new dialogs, all of them or none.
--
-- The lists run in step; a date of NULL is now. An id that is there already is the primary
-- key's error.
-- returns: count

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
FROM unnest(
        :ids::text[],
        :names::text[],
        :create_dates::timestamptz[],
        :update_dates::timestamptz[]
    ) AS g (id, name, create_date, update_date)
ORDER BY g.id;
