"""The peers: each has the operations that it can do, under the same names and with the same arguments.

`get_by_id(id, tenant)`, `authenticate(token)`, `first_page(dialog, tenant)` with the exact total,
`page_without_total(dialog, tenant)`, `next_page(dialog, tenant, cursor, date, id)`, `keyword(dialog, tenant, text)`,
`append_round(id, tenant, dialog, turn)`, `update_scalars(id, tenant, thumb_up)`, `stats(tenant, from_date, to_date)`,
`export(tenant)`. A peer without an operation is left out of its row.
"""
