"""The statements that a hand would write for exactly these calls on the tables of the store, with `%s`."""

from __future__ import annotations

COLUMNS = """c.id, c.tenant_id, c.dialog_id, c.name, c.user_id, c.exp_user_id,
    (SELECT coalesce(json_agg(m.body ORDER BY m.position), '[]') FROM conversation_store.conversation_message AS m
        WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.id AND m.position <= c.message_count) AS message,
    (SELECT coalesce(json_agg(r.body ORDER BY r.position), '[]') FROM conversation_store.conversation_reference AS r
        WHERE r.tenant_id = c.tenant_id AND r.conversation_id = c.id AND r.position <= c.reference_count) AS reference,
    c.tokens, c.source, c.dsl, c.duration, c.round, c.thumb_up, c.errors, c.version_title, c.create_date, c.update_date,
    c.revision"""

GET_BY_ID = f"SELECT {COLUMNS} FROM conversation_store.conversation AS c WHERE c.id = %s AND c.tenant_id = %s"
PAGE = f"""
SELECT {COLUMNS} FROM conversation_store.conversation AS c WHERE c.tenant_id = %s AND c.dialog_id = %s
ORDER BY c.create_date DESC, c.id DESC LIMIT 30
"""
# The total in the same round trip; its condition is that of the index for totals.
PAGE_AND_TOTAL = f"""
SELECT (SELECT count(*) FROM conversation_store.conversation AS n
    WHERE n.tenant_id = %s AND n.dialog_id = %s AND (n.id <> '') IS TRUE), {COLUMNS}
FROM conversation_store.conversation AS c WHERE c.tenant_id = %s AND c.dialog_id = %s
ORDER BY c.create_date DESC, c.id DESC LIMIT 30
"""
NEXT_PAGE = f"""
SELECT {COLUMNS} FROM conversation_store.conversation AS c WHERE c.tenant_id = %s AND c.dialog_id = %s
    AND (c.create_date, c.id) < (%s, %s)
ORDER BY c.create_date DESC, c.id DESC LIMIT 30
"""
TOKEN = """t.id, t.tenant_id, t.hint, t.dialog_id, t.source, t.beta, t.create_date, t.update_date, t.use_date, t.expire_date,
    t.rotate_date, t.revoke_date, t.predecessor_id"""
AUTHENTICATE = f"""
SELECT {TOKEN}, (t.use_date IS NULL OR t.use_date <= now() - interval '1 minute') AS stamp_due
FROM conversation_store.api_token AS t
WHERE t.token_digest = %s AND t.revoke_date IS NULL AND (t.expire_date IS NULL OR t.expire_date > now())
"""
STAMP = "UPDATE conversation_store.api_token SET use_date = now(), update_date = now() WHERE id = %s"
# A turn of two messages. The count on the locked row is the position: nothing is read and no two collide.
APPEND_ROUND = """
WITH appended AS (
    UPDATE conversation_store.conversation SET tokens = tokens + 40, duration = duration + 1.5, round = round + 1,
        update_date = now(), message_count = message_count + 2, revision = revision + 1
    WHERE id = %s AND tenant_id = %s RETURNING id, tenant_id, dialog_id, message_count, round
), messages AS (
    INSERT INTO conversation_store.conversation_message (conversation_id, position, tenant_id, dialog_id, body)
    SELECT a.id, a.message_count - 1, a.tenant_id, a.dialog_id, %s::json FROM appended AS a
    UNION ALL
    SELECT a.id, a.message_count, a.tenant_id, a.dialog_id, %s::json FROM appended AS a
)
SELECT round FROM appended
"""
UPDATE_SCALARS = """
UPDATE conversation_store.conversation SET thumb_up = %s, update_date = now(), revision = revision + 1
WHERE id = %s AND tenant_id = %s
"""
# From the index alone. No count(DISTINCT user_id), which the store's has: it would be most of the time.
STATS = """
SELECT (create_date AT TIME ZONE 'UTC')::date AS dt, count(*) AS pv, sum(tokens) AS tokens, sum(duration) AS duration,
    avg(round)::float8 AS round, sum(thumb_up) AS thumb_up
FROM conversation_store.conversation
WHERE tenant_id = %s AND create_date >= %s AND create_date <= %s AND create_date >= '-infinity'
GROUP BY 1 ORDER BY 1
"""
EXPORT = f"""
SELECT {COLUMNS} FROM conversation_store.conversation AS c WHERE c.tenant_id = %s
ORDER BY c.dialog_id, c.create_date, c.id
"""


def numbered(statement: str) -> str:
    """Return a statement with $1, $2, … in the place of `%s`."""
    parts = statement.split("%s")
    return "".join(f"{part}${n}" for n, part in enumerate(parts[:-1], 1)) + parts[-1]
