"""The search indexes that `measure_search.py` compares, with the functions that each stands on, and how one is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

TRIGRAMS = r"""
CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public;
CREATE EXTENSION IF NOT EXISTS btree_gin SCHEMA public;
CREATE FUNCTION public.search_text(t text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(
        lower(t COLLATE "default"), '([ᄀ-ᇿ々-〇ぁ-ゖァ-ヺー-ヿㄱ-ㆎㇰ-ㇿ㐀-䶿一-鿿가-힣豈-﫿ｦ-ﾝ𠀀-𳿿])', E'\\1 \\1', 'g'
    )
$$;
CREATE FUNCTION public.search_pattern(keyword text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN CASE
        WHEN lower(keyword COLLATE "default")
            ~ '(?=[[:alnum:]]{2})[ᄀ-ᇿ々-〇ぁ-ゖァ-ヺー-ヿㄱ-ㆎㇰ-ㇿ㐀-䶿一-鿿가-힣豈-﫿ｦ-ﾝ𠀀-𳿿]{2}|[[:alnum:]]{3}'
            THEN '%' || regexp_replace(public.search_text(keyword), E'([%_\\\\])', E'\\\\\\1', 'g') || '%'
    END;
END
$$;
"""
MESSAGE_TEXT = "conversation_store.message_text(body)"
NAME_TEXT = r"id || E'\n' || coalesce(name, '')"
SCAN = """SELECT count(*) FROM conversation_store.conversation AS c
INNER JOIN conversation_store.conversation_message AS m ON m.conversation_id = c.id
WHERE c.tenant_id = 't' AND c.dialog_id = %(dialog)s AND m.tenant_id = 't' AND m.dialog_id = %(dialog)s"""
PLAIN = """SELECT count(*) FROM conversation_store.conversation_message AS m
WHERE m.tenant_id = 't' AND m.dialog_id = %(dialog)s"""
FOUND = """ AND strpos(
    conversation_store.fold(conversation_store.message_text(m.body)), conversation_store.fold(%(keyword)s)
) > 0"""


@dataclass
class Index:
    """A search index: how it is made, and the condition that it serves."""

    name: str
    functions: str = ""
    columns: str = ""
    condition: str = ""
    least: int = 1  # what a keyword has to have, or the dialog is scanned
    database: str = ""
    figures: dict[str, float] = field(default_factory=dict[str, float])
    connection: psycopg.Connection[Any] = field(init=False)

    def one(self, query: str, *values: object) -> Any:
        row = self.connection.execute(query.encode(), values or None).fetchone()
        return None if row is None else row[0]

    def processor(self) -> float:
        """Return the milliseconds of processor that the server's process has used; elsewhere than on Linux, the time."""
        stat = Path(f"/proc/{self.connection.info.backend_pid}/schedstat")
        return int(stat.read_text().split()[0]) / 1e6 if stat.exists() else 1000 * time.perf_counter()

    def add(self, name: str, call: Callable[[], object], per: int = 1) -> None:
        """Add what a call takes to the figures: of the server, of this process, and of WAL."""
        position = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
        written, used, own = self.one(position), self.processor(), time.process_time()
        call()
        taken = {
            name: self.processor() - used,
            f"{name}, client": 1000 * (time.process_time() - own),
            f"{name}, WAL": float(self.one(position) - written),
        }
        for key, value in taken.items():
            self.figures[key] = self.figures.get(key, 0) + value / per

    def create(self) -> None:
        self.connection.execute("DROP INDEX IF EXISTS conversation_store.searched, conversation_store.searched_names")
        if self.columns:
            for name, table, text in (
                ("searched", "conversation_message", MESSAGE_TEXT),
                ("searched_names", "conversation", NAME_TEXT),
            ):
                columns = self.columns.replace("TEXT", text)
                self.connection.execute(
                    f"CREATE INDEX {name} ON conversation_store.{table} USING gin ({columns})".encode()
                )

    def merge(self) -> None:
        if self.columns:
            for name in ("searched", "searched_names"):
                self.connection.execute("SELECT gin_clean_pending_list(%s)", [f"conversation_store.{name}"])

    def search(self, dialog: str, keyword: str) -> tuple[float, int]:
        """Return the milliseconds of a search, and how many messages it finds; planned for its values."""
        served = self.condition and len(keyword) >= self.least
        query = (f"{PLAIN} AND {self.condition}" if served else SCAN) + FOUND
        used = self.processor()
        with psycopg.ClientCursor(self.connection) as cursor:
            found = cursor.execute(query.encode(), {"dialog": dialog, "keyword": keyword}).fetchone()
        return self.processor() - used, (found or (0,))[0]


def indexes() -> list[Index]:
    """Return what is compared."""
    text = MESSAGE_TEXT.replace("body", "m.body")
    return [
        Index("none"),
        Index(
            "trigrams",
            TRIGRAMS,
            "tenant_id, dialog_id, public.search_text(TEXT) public.gin_trgm_ops",
            f"(public.search_pattern(%(keyword)s) IS NULL OR public.search_text({text}) LIKE public.search_pattern(%(keyword)s))",
        ),
        Index(
            "pairs",
            "",
            "conversation_store.search_keys(tenant_id, dialog_id, TEXT)",
            f"conversation_store.search_keys(m.tenant_id, m.dialog_id, {text})"
            " @> conversation_store.keys_in_dialog('t', %(dialog)s, %(keyword)s)",
            least=2,
        ),
    ]
