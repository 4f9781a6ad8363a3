"""The locks that statements of migrations take, and how much they read, by rules on their outlines.

What no rule knows is said to be unknown. A test holds the rules to what a server does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from conversation_store._migration_files import Migration
from conversation_store._sql_lexer import split


class Mode(StrEnum):
    """A lock of a table, from the weakest to the strongest."""

    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"
    UNKNOWN = "an unknown lock"

    @property
    def strength(self) -> int:
        """Its place among all modes."""
        return list(Mode).index(self)

    @property
    def waiting(self) -> str:
        """Who waits while it is held."""
        return _WAITING[self]


_WAITING = {
    Mode.ROW_EXCLUSIVE: "who changes the same rows waits",
    Mode.SHARE_UPDATE_EXCLUSIVE: "no read and no write waits",
    Mode.SHARE: "writes wait",
    Mode.SHARE_ROW_EXCLUSIVE: "writes wait",
    Mode.ACCESS_EXCLUSIVE: "reads and writes wait",
    Mode.UNKNOWN: "take it that reads and writes wait",
}


class Work(StrEnum):
    """How much of a table a statement reads or writes while it holds its locks."""

    NONE = "no row is read"
    UNKNOWN = "how much it reads is unknown"
    SCANS = "reads the whole table"
    MAY_REWRITE = "may write the whole table anew, with its indexes"
    REWRITES = "writes the whole table anew, with its indexes"


class Lock(NamedTuple):
    """A lock that a statement takes on a table or an index, and what it does to that."""

    relation: str
    mode: Mode
    work: Work = Work.NONE


class ForeignKey(NamedTuple):
    """A foreign key, from some columns of a table to another table."""

    name: str
    table: str
    columns: frozenset[str]
    other: str


@dataclass(frozen=True, slots=True)
class Known:
    """What a statement locks and does not name: the other ends of foreign keys, the tables of indexes."""

    keys: tuple[ForeignKey, ...] = ()
    indexes: Mapping[str, str] = field(default_factory=dict[str, str])


def known(files: Iterable[Migration]) -> Known:
    """Return the foreign keys and the indexes that migrations create."""
    keys: list[ForeignKey] = []
    indexes: dict[str, str] = {}
    for file in files:
        for name, what in file.created.items():
            if what.startswith("index "):
                indexes[name] = what.rpartition(" ")[2]
        for outline in map(outline_of, file.statements):
            if table := re.match(rf"(?i)(?:create|alter) table (?:if (?:not )?exists )?{_NAME}", outline):
                for name, columns, other in re.findall(_FOREIGN_KEY, outline):
                    keys.append(ForeignKey(name, table["name"], frozenset(columns.split(", ")), other))
    return Known(tuple(keys), indexes)


def locks_of(statement: str, known: Known) -> tuple[Lock, ...]:
    """Return the locks that a statement takes and that others may wait for, each relation once, with the strongest."""
    outline = outline_of(statement)
    found: dict[str, Lock] = {}
    for lock in _block(statement, known) if re.match(r"(?i)do\b", outline) else _locks(outline, known):
        before = found.get(lock.relation, lock)
        mode = max(before.mode, lock.mode, key=lambda mode: mode.strength)
        work = max(before.work, lock.work, key=list(Work).index)
        found[lock.relation] = Lock(lock.relation, mode, work)
    return tuple(found.values())


def created_table(statement: str) -> str | None:
    """Return the name of the table that a statement creates."""
    match = re.match(rf"(?i)create (?:unlogged )?table (?:if not exists )?{_NAME}", outline_of(statement))
    return match["name"] if match else None


def outline_of(statement: str) -> str:
    """Return a statement without comments and what is in its literals."""
    (part,) = split(statement)
    return part.outline.rstrip("; ")


# -- the rules ---------------------------------------------------------------------------------

_NAME = r'(?:only )?(?P<name>[\w."$]+)'
_NAMES = r'(?P<name>[\w."$]+(?:, ?[\w."$]+)*)'
_FOREIGN_KEY = r'(?i)constraint (\S+) foreign key ?\(([^)]*)\) references ([\w."$]+)'

# A statement as a whole. The group `name` is what is locked.
_STATEMENTS: tuple[tuple[str, Mode | None, Work], ...] = (
    (rf"create (?:unlogged )?table (?:if not exists )?{_NAME}", Mode.ACCESS_EXCLUSIVE, Work.NONE),
    (rf"create (?:unique )?index concurrently .*?\bon {_NAME}", Mode.SHARE_UPDATE_EXCLUSIVE, Work.SCANS),
    (rf"create (?:unique )?index .*?\bon {_NAME}", Mode.SHARE, Work.SCANS),
    (rf"drop index concurrently (?:if exists )?{_NAMES}", Mode.SHARE_UPDATE_EXCLUSIVE, Work.NONE),
    (rf"drop (?:index|table) (?:if exists )?{_NAMES}", Mode.ACCESS_EXCLUSIVE, Work.NONE),
    (rf"alter index (?:if exists )?{_NAME}", Mode.SHARE_UPDATE_EXCLUSIVE, Work.NONE),
    (rf"create (?:or replace )?(?:constraint )?trigger .*?\bon {_NAME}", Mode.SHARE_ROW_EXCLUSIVE, Work.NONE),
    (rf"drop trigger .*?\bon {_NAME}", Mode.ACCESS_EXCLUSIVE, Work.NONE),
    (rf"analyze (?:verbose )?{_NAMES}", Mode.SHARE_UPDATE_EXCLUSIVE, Work.UNKNOWN),
    (rf"comment on table {_NAME}", Mode.SHARE_UPDATE_EXCLUSIVE, Work.NONE),
    (rf"comment on column {_NAME}\.", Mode.SHARE_UPDATE_EXCLUSIVE, Work.NONE),
    (rf"truncate (?:table )?{_NAMES}", Mode.ACCESS_EXCLUSIVE, Work.REWRITES),
    (rf"(?:update|delete from) {_NAME}(?!.*\bwhere\b)", Mode.ROW_EXCLUSIVE, Work.SCANS),
    (rf"(?:update|delete from) {_NAME}", Mode.ROW_EXCLUSIVE, Work.UNKNOWN),
    (rf"insert into {_NAME}", Mode.ROW_EXCLUSIVE, Work.NONE),
    # These lock no table.
    (r"(?:create|drop|alter) (?:or replace )?(?:function|procedure|schema|type|domain|role)\b", None, Work.NONE),
    (r"comment on (?:function|schema|index|constraint)\b", None, Work.NONE),
    (r"(?:grant|revoke|set|select)\b", None, Work.NONE),
)

_COLUMN = r"add (?!constraint\b)(?:column )?(?:if not exists )?"

# What one action of ALTER TABLE does. The first that fits is taken.
_ACTIONS: tuple[tuple[str, Mode, Work], ...] = (
    (r"add (?:constraint \S+ )?foreign key\b.*\bnot valid$", Mode.SHARE_ROW_EXCLUSIVE, Work.NONE),
    (r"add (?:constraint \S+ )?foreign key\b", Mode.SHARE_ROW_EXCLUSIVE, Work.SCANS),
    (r"add (?:constraint \S+ )?(?:check|not null)\b.*\bnot valid$", Mode.ACCESS_EXCLUSIVE, Work.NONE),
    (r"add (?:constraint \S+ )?unique using index\b", Mode.ACCESS_EXCLUSIVE, Work.NONE),
    (r"add (?:constraint \S+ )?(?:check|not null|primary key|unique|exclude)\b", Mode.ACCESS_EXCLUSIVE, Work.SCANS),
    (r"validate constraint\b", Mode.SHARE_UPDATE_EXCLUSIVE, Work.SCANS),
    (rf"{_COLUMN}.*\bgenerated .*\b(?:stored|as identity)\b", Mode.ACCESS_EXCLUSIVE, Work.REWRITES),
    (rf"{_COLUMN}\S+ (?:small|big)?serial\b", Mode.ACCESS_EXCLUSIVE, Work.REWRITES),
    # The default of a volatile function is computed for each row; any but now() is taken for one.
    (rf"{_COLUMN}.*\bdefault\b(?! now ?\( ?\)).*?\b\w+ ?\(", Mode.ACCESS_EXCLUSIVE, Work.MAY_REWRITE),
    (rf"{_COLUMN}.*\b(?:check|unique|primary key)\b", Mode.ACCESS_EXCLUSIVE, Work.SCANS),
    (_COLUMN, Mode.ACCESS_EXCLUSIVE, Work.NONE),
    (r"alter (?:column )?\S+ set not null", Mode.ACCESS_EXCLUSIVE, Work.SCANS),
    (r"alter (?:column )?\S+ (?:set data )?type\b", Mode.ACCESS_EXCLUSIVE, Work.MAY_REWRITE),
    (r"alter (?:column )?\S+ (?:re)?set (?:statistics\b|\()", Mode.SHARE_UPDATE_EXCLUSIVE, Work.NONE),
    (r"alter (?:column )?\S+ (?:set|drop|add)\b", Mode.ACCESS_EXCLUSIVE, Work.NONE),
    (r"(?:re)?set \(|set without cluster|cluster on", Mode.SHARE_UPDATE_EXCLUSIVE, Work.NONE),
    (r"set (?:un)?logged|set tablespace|set access method", Mode.ACCESS_EXCLUSIVE, Work.REWRITES),
    (r"(?:enable|disable) (?:replica |always )?trigger\b", Mode.SHARE_ROW_EXCLUSIVE, Work.NONE),
    (r"(?:drop|rename|owner to|set schema|replica identity)\b", Mode.ACCESS_EXCLUSIVE, Work.NONE),
    (r"(?:enable|disable|force|no force)\b", Mode.ACCESS_EXCLUSIVE, Work.NONE),
)


def _locks(outline: str, known: Known) -> Iterator[Lock]:
    """Give the locks of one statement, by its outline."""
    table = re.match(rf"(?i)alter table (?:if exists )?{_NAME} (?P<actions>.*)$", outline)
    if table is not None:
        for action in _parts(table["actions"]):
            yield from _action(table["name"], action, known)
        return
    for pattern, mode, work in _STATEMENTS:
        if match := re.match(f"(?i){pattern}", outline):
            if mode is None:
                return
            for name in _parts(match["name"]):
                yield Lock(name, mode, work)
                yield from _referenced(outline, name)
                if re.match("(?i)drop table", outline):
                    yield from _other_ends(name, known.keys)
                elif re.match("(?i)drop index", outline):
                    index = name.rpartition(".")[2]
                    yield Lock(known.indexes.get(index, f"the table of {name}"), mode)
            return
    yield Lock(outline[:60], Mode.UNKNOWN, Work.UNKNOWN)


def _action(table: str, action: str, known: Known) -> Iterator[Lock]:
    for pattern, mode, work in _ACTIONS:
        if re.match(f"(?i){pattern}", action):
            yield Lock(table, mode, work)
            yield from _referenced(action, table)
            if dropped := re.match(r"(?i)drop (?:constraint |column )?(?:if exists )?(\S+)", action):
                yield from _other_ends(table, (key for key in known.keys if dropped[1] in (key.name, *key.columns)))
            return
    yield Lock(table, Mode.UNKNOWN, Work.UNKNOWN)


def _referenced(text: str, table: str) -> Iterator[Lock]:
    """Give the locks of the tables that new foreign keys refer to, which get a trigger."""
    for name in re.findall(r'(?i)\breferences ([\w."$]+)', text):
        if name != table:
            yield Lock(name, Mode.SHARE_ROW_EXCLUSIVE)


def _other_ends(table: str, keys: Iterable[ForeignKey]) -> Iterator[Lock]:
    """Give the locks of the tables at the other ends of foreign keys that are dropped, which lose a trigger."""
    for key in keys:
        if table in (key.table, key.other):
            yield Lock(key.other if table == key.table else key.table, Mode.ACCESS_EXCLUSIVE)


_IN_A_BLOCK = r"(?i)(?<!\bfor )(?<!\bkey )(?<!\bon )\b(?:alter|create|drop|update|delete|insert|truncate)\b.*$"


def _block(statement: str, known: Known) -> Iterator[Lock]:
    """Give the locks of the statements that a DO block has in its text, whether it runs them or not."""
    quoted = re.search(r"(?s)(\$\w*\$)(.*)\1", statement)
    if quoted is None:
        yield Lock("what the block executes", Mode.UNKNOWN, Work.UNKNOWN)
        return
    for part in split(quoted[2]):
        if found := re.search(_IN_A_BLOCK, part.outline):
            yield from _locks(found[0].rstrip("; "), known)
        if re.search(r"(?i)\b(?:execute|perform|call)\b", part.outline):
            yield Lock("what the block executes", Mode.UNKNOWN, Work.UNKNOWN)


def _parts(text: str) -> list[str]:
    """Cut a text at the commas that stand in no parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
