"""The data: a database of a size, with the tables of the store and those of RAGFlow, the same in each run.

A fifth of all conversations are in one dialog, whose tenant has 28 % of all; every other dialog has 100. The tenants are
as unequal as those of a service: most have a few dialogs, one has hundreds. Dates are spread over 2025. Rows are made on the
server; indexes and foreign keys are dropped before and made again from what the catalog says of them.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import psycopg

from benchmarks.peers.ragflow_tables import create_indexes, create_tables
from benchmarks.texts import Texts
from conversation_store import ConversationStore, check_schema, migrate

LARGE = "dialog-0"
IN_DIALOG = 100
APPENDED = ("appended", "appended")  # the dialog that is appended to, and its tenant
YEAR = (datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))
WEEK = (datetime(2025, 6, 2, tzinfo=UTC), datetime(2025, 6, 8, 23, 59, 59, 999999, tzinfo=UTC))

# Numbers between 0 and 1, the same for the same arguments on each server.
RANDOM = """
CREATE FUNCTION made.random(n bigint, salt bigint) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (hashint8extended(n, salt) & 9223372036854775807)::double precision / 9223372036854775808.0
$$
"""
CONVERSATIONS = """
CREATE UNLOGGED TABLE made.conversation AS
SELECT
    i, md5('conversation ' || i) AS id, d.tenant_id, d.id AS dialog_id,
    timestamptz '2025-01-01Z' + made.random(i, 1) * interval '365 days' AS date,
    (ARRAY[2, 2, 4, 4, 8])[1 + (made.random(i, 2) * 5)::integer %% 5] AS messages,
    (made.random(i, 3) * 2)::integer %% 2 AS language,
    made.random(i, 4) < 0.25 AS has_reference,
    CASE WHEN made.random(i, 5) < 0.9 THEN 'user-' || (made.random(i, 6) * 500)::integer ELSE '' END AS user_id,
    (ARRAY['web', 'api', 'agent', NULL])[1 + (made.random(i, 7) * 4)::integer %% 4] AS source,
    (made.random(i, 8) * 1000)::integer AS tokens,
    round(30 * made.random(i, 9)) / 2 AS duration,
    (made.random(i, 10) * 3)::integer - 1 AS thumb_up
FROM generate_series(0, %(size)s - 1) AS i
JOIN made.dialog AS d ON d.n = CASE WHEN i < %(large)s THEN 0 ELSE 1 + (i - %(large)s) / %(in_dialog)s END
ORDER BY date
"""
# The item that is the message of a position: of the conversation's language, in turn of a user and of an assistant.
ITEM_OF = """
(c.language * 2 + (p + 1) %% 2) * %(items)s + (made.random(c.i * 16 + p, 11) * %(items)s)::integer %% %(items)s
"""
ROWS = [
    "INSERT INTO conversation_store.dialog (id, tenant_id, name) SELECT id, tenant_id, id FROM made.dialog",
    """
INSERT INTO conversation_store.api_token (tenant_id, token_digest, hint, dialog_id, source, create_date, update_date)
SELECT tenant_id, sha256(convert_to('token-' || n, 'UTF8')), 'token', id, 'api', '2025-01-01Z', '2025-01-01Z' FROM made.dialog
""",
    """
INSERT INTO conversation_store.conversation (id, tenant_id, dialog_id, name, user_id, exp_user_id, tokens, source, duration,
    round, thumb_up, create_date, update_date, message_count, reference_count, revision)
SELECT c.id, c.tenant_id, c.dialog_id, left(t.text, 40), c.user_id, CASE WHEN c.i %% 10 = 0 THEN c.user_id END, c.tokens,
    c.source, c.duration, c.messages / 2, c.thumb_up, c.date, c.date, c.messages,
    CASE WHEN c.has_reference THEN c.messages / 2 ELSE 0 END, c.messages / 2
FROM made.conversation AS c CROSS JOIN (VALUES (1)) AS q (p) JOIN made.item AS t ON t.n = """
    + ITEM_OF,
    """
INSERT INTO conversation_store.conversation_message (conversation_id, position, tenant_id, dialog_id, body)
SELECT c.id, p, c.tenant_id, c.dialog_id, t.body::json
FROM made.conversation AS c CROSS JOIN generate_series(1, c.messages) AS p JOIN made.item AS t ON t.n = """
    + ITEM_OF,
    """
INSERT INTO conversation_store.conversation_reference (conversation_id, position, tenant_id, body)
SELECT c.id, p / 2, c.tenant_id, t.reference::json
FROM made.conversation AS c CROSS JOIN generate_series(2, c.messages, 2) AS p JOIN made.item AS t ON t.n = """
    + ITEM_OF
    + " WHERE c.has_reference",
]
RAGFLOW_ROWS = [
    """
INSERT INTO public.dialog (id, tenant_id, name, create_time, create_date, update_time, update_date)
SELECT id, tenant_id, id, 0, '2025-01-01', 0, '2025-01-01' FROM made.dialog
""",
    """
INSERT INTO public.api_token (tenant_id, token, dialog_id, source, create_time, create_date, update_time, update_date)
SELECT tenant_id, 'token-' || n, id, 'api', 0, '2025-01-01', 0, '2025-01-01' FROM made.dialog
""",
    """
INSERT INTO public.api_4_conversation (id, create_time, create_date, update_time, update_date, name, dialog_id, user_id,
    exp_user_id, message, reference, tokens, source, dsl, duration, round, thumb_up)
SELECT c.id, extract(epoch FROM c.date) * 1000, c.date AT TIME ZONE 'UTC', extract(epoch FROM c.date) * 1000,
    c.date AT TIME ZONE 'UTC', left(t.message ->> 0, 40), c.dialog_id, c.user_id,
    CASE WHEN c.i %% 10 = 0 THEN c.user_id END, t.messages, CASE WHEN c.has_reference THEN t.reference ELSE '[]' END,
    c.tokens, c.source, '{}', c.duration, c.messages / 2, c.thumb_up
FROM made.conversation AS c CROSS JOIN LATERAL (
    SELECT array_to_json(array_agg(t.text ORDER BY p)) AS message,
        '[' || string_agg(t.ragflow_body, ', ' ORDER BY p) || ']' AS messages,
        '[' || string_agg(t.ragflow_reference, ', ' ORDER BY p) FILTER (WHERE p %% 2 = 0) || ']' AS reference
    FROM generate_series(1, c.messages) AS p JOIN made.item AS t ON t.n = """ + ITEM_OF + ") AS t",
]  # fmt: skip

# Constraints first, so that what is made again begins with primary keys and ends with foreign keys.
DEFINITIONS = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', c.conrelid::regclass, c.conname),
    format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid)),
    CASE c.contype WHEN 'f' THEN 3 ELSE 1 END AS step
FROM pg_constraint AS c WHERE c.connamespace = 'conversation_store'::regnamespace AND c.contype IN ('p', 'u', 'f')
UNION ALL
SELECT format('DROP INDEX %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid), 2
FROM pg_index AS i JOIN pg_class AS k ON k.oid = i.indexrelid
WHERE k.relnamespace = 'conversation_store'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u'))
ORDER BY step, 1
"""


@dataclass(frozen=True)
class Data:
    """A filled database, and what of it is asked for."""

    conninfo: str
    size: int
    dialogs: list[tuple[str, str]]  # the id and the tenant of each; the first is the large one
    letters: str  # a keyword of eight letters, and one of two ideographs, in some tens of the large dialog
    ideographs: str
    common: str  # a keyword in some of each dialog of a hundred

    @cached_property
    def appended(self) -> dict[int, list[str]]:
        """The conversations that are appended to, by their rounds; their ids are numbers, for pgbench."""
        return {
            4: [str(n) for n in range(1, 1 + min(self.size // 20, 5_000))],
            400: [str(-n) for n in range(1, 1 + min(self.size // 100, 50))],
        }

    @cached_property
    def large(self) -> tuple[str, str]:
        return self.dialogs[0]

    @cached_property
    def of_other_tenants(self) -> range:
        """The numbers of the full dialogs that the tenant of the large one does not have."""
        first = next(n for n, (_, tenant) in enumerate(self.dialogs) if tenant != self.large[1])
        return range(first, max(len(self.dialogs) - 1, first + 1))

    @cached_property
    def exported(self) -> str:
        """The largest tenant but the one of the large dialog."""
        return self.dialogs[self.of_other_tenants.start][1]

    def dialog(self, random: random.Random) -> tuple[str, str]:
        return self.dialogs[random.choice(self.of_other_tenants)]

    def conversation(self, random: random.Random) -> tuple[str, str]:
        """Return the id and the tenant of a conversation in an ordinary dialog."""
        n = random.choice(self.of_other_tenants)
        i = self.size // 5 + (n - 1) * IN_DIALOG + random.randrange(IN_DIALOG)
        i = min(i, self.size - 1)
        return hashlib.md5(f"conversation {i}".encode(), usedforsecurity=False).hexdigest(), self.dialogs[n][1]

    def token(self, random: random.Random) -> str:
        """Return one of a few tokens, so that hardly any use is one to be stamped."""
        return f"token-{random.randrange(min(50, len(self.dialogs)))}"


def make_dialogs(size: int) -> list[tuple[str, str]]:
    """Return the dialogs, those of a tenant next to each other."""
    of_large_tenant = 1 + size * 8 // 100 // IN_DIALOG
    others = max(-(-(size - size // 5) // IN_DIALOG) - of_large_tenant + 1, 1)
    chooser = random.Random(2)
    tenants = sorted(int(max(others // 4, 1) * chooser.random() ** 2) for _ in range(others))
    of = ["tenant-large"] * of_large_tenant + [f"tenant-{n}" for n in tenants]
    return [(f"dialog-{n}", tenant) for n, tenant in enumerate(of)]


def fill(conninfo: str, size: int, texts: Texts, *, ragflow: bool, tell: Callable[[str], None]) -> Data:
    """Fill an empty database: RAGFlow's tables, and what is appended to, only where they are asked for."""
    migrate(conninfo)
    dialogs = make_dialogs(size)
    values = {"size": size, "large": size // 5, "in_dialog": IN_DIALOG, "items": texts.number}
    letters, ideographs, drawn = "(?<![a-z])[a-z]{8}(?![a-z])", "[一-鿿]{2}", 4 * size // 5
    keywords = texts.keyword(letters, 30, drawn), texts.keyword(ideographs, 30, drawn)
    data = Data(conninfo, size, dialogs, *keywords, texts.keyword(letters, 5, 4 * IN_DIALOG))
    with psycopg.connect(conninfo, autocommit=True) as connection:
        _stage(connection, dialogs, texts)
        run(connection, CONVERSATIONS, values)
        definitions = connection.execute(DEFINITIONS.encode()).fetchall()
        for drop, _, _ in reversed(definitions):
            connection.execute(drop.encode())
        for statement in ROWS:
            run(connection, statement, values)
        tell(f"{size:,} conversations: rows")
        for _, again, _ in definitions:
            connection.execute(again.encode())
        tell(f"{size:,} conversations: indexes")
        if ragflow:
            create_tables(conninfo)
            for statement in RAGFLOW_ROWS:
                run(connection, statement, values)
            create_indexes(conninfo)
            _add_appended(data, texts, connection)
            tell(f"{size:,} conversations: RAGFlow's tables")
        connection.execute("DROP SCHEMA made CASCADE")
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    if problems := check_schema(conninfo):
        raise AssertionError(f"the schema is not as it was: {problems}")
    return data


def _stage(connection: psycopg.Connection, dialogs: list[tuple[str, str]], texts: Texts) -> None:
    """Give the server what rows are made of."""
    connection.execute("CREATE SCHEMA made")
    connection.execute(RANDOM.encode())
    connection.execute("CREATE UNLOGGED TABLE made.dialog (n bigint PRIMARY KEY, id text, tenant_id text)")
    connection.execute(
        "CREATE UNLOGGED TABLE made.item (n bigint PRIMARY KEY, text text, body text, reference text,"
        " ragflow_body text, ragflow_reference text)"
    )
    with connection.cursor().copy("COPY made.dialog FROM STDIN") as copy:
        for n, (id, tenant) in enumerate(dialogs):
            copy.write_row((n, id, tenant))
    with connection.cursor().copy("COPY made.item FROM STDIN") as copy:
        for n, item in enumerate(texts.items):
            copy.write_row((n, item.text, item.body, item.reference, item.ragflow_body, item.ragflow_reference))
    connection.execute("ANALYZE made.dialog, made.item")


def run(connection: psycopg.Connection, statement: str, values: dict[str, int]) -> None:
    """Run a statement with its numbers in its text: the planner sees them."""
    psycopg.ClientCursor(connection).execute(statement.encode(), values)


def _add_appended(data: Data, texts: Texts, connection: psycopg.Connection) -> None:
    """Add the conversations that are appended to."""
    dialog, tenant = APPENDED
    with ConversationStore(data.conninfo) as store:
        store.dialogs.save(id=dialog, tenant_id=tenant)
        conversations = store.for_tenant(tenant).conversations
        for rounds, ids in data.appended.items():
            message = [
                {"role": role, "content": texts.items[2 * n % len(texts.items)].text}
                for n in range(rounds)
                for role in ("user", "assistant")
            ]
            conversations.insert_many(
                {"id": id, "dialog_id": dialog, "message": message, "round": rounds} for id in ids
            )
    connection.execute(
        "INSERT INTO public.api_4_conversation (id, dialog_id, user_id, message, reference, tokens, dsl, duration, round,"
        " thumb_up) SELECT c.id, c.dialog_id, '', (SELECT json_agg(m.body ORDER BY m.position)"
        " FROM conversation_store.conversation_message AS m WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.id),"
        " '[]', 0, '{}', 0, c.round, 0 FROM conversation_store.conversation AS c WHERE c.tenant_id = %s",
        [tenant],
    )
