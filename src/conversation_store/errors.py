"""The errors of this package.

StoreError
├── InvalidArgument (also a ValueError)
├── InvalidArgumentType (also a TypeError)
├── NotFound
│   ├── ConversationNotFound
│   ├── DialogNotFound
│   └── TokenNotFound
├── Conflict
│   ├── RoundConflict
│   ├── RevisionConflict
│   ├── TurnConflict
│   ├── CounterOverflow
│   ├── NotAppendable
│   ├── AlreadyExists
│   ├── AmbiguousId
│   └── DialogNotEmpty
├── OutsideTransaction
├── AbortedTransaction
├── StalePlan
├── StatementTimeout (also a psycopg.OperationalError)
├── UnsupportedConnection
├── ForkedConnection
├── MigrationError
├── SourceError
└── QueryError

What is wrong with an argument raises `InvalidArgument` or `InvalidArgumentType` before any SQL: a host can tell a fault
of its client from its own. Errors of the server and of the pool (`psycopg.OperationalError`,
`psycopg_pool.PoolTimeout`, …) are raised as they are.
"""

from __future__ import annotations

import psycopg


class StoreError(Exception):
    """The base of the errors of this package."""


class InvalidArgument(StoreError, ValueError):
    """An argument has a value that is not allowed; the message names the argument and what is allowed."""


class InvalidArgumentType(StoreError, TypeError):
    """An argument has a type that is not allowed; the message names the argument and what is allowed."""


class NotFound(StoreError):
    """What the call is about does not exist."""


class ConversationNotFound(NotFound):
    """There is no conversation with this id."""


class DialogNotFound(NotFound):
    """The tenant has no such dialog."""


class TokenNotFound(NotFound):
    """There is no such token."""


class Conflict(StoreError):
    """What is stored contradicts the call."""


class RoundConflict(Conflict):
    """The conversation is not in the expected round; nothing was changed.

    `expected` is the round that the caller named, `current` the one that the conversation is in.
    """

    def __init__(self, expected: int, current: int) -> None:
        super().__init__(f"expected round {expected}, but the conversation is in round {current}; nothing was changed")
        self.expected = expected
        self.current = current

    def __reduce__(self) -> tuple[type[RoundConflict], tuple[int, int]]:
        return type(self), (self.expected, self.current)


class RevisionConflict(Conflict):
    """The conversation is not in the expected revision: it was changed since it was read; nothing was changed.

    `expected` is the revision that the caller named, `current` the one that the conversation is in.
    """

    def __init__(self, expected: int, current: int) -> None:
        super().__init__(
            f"expected revision {expected}, but the conversation is in revision {current}; nothing was changed"
        )
        self.expected = expected
        self.current = current

    def __reduce__(self) -> tuple[type[RevisionConflict], tuple[int, int]]:
        return type(self), (self.expected, self.current)


class TurnConflict(Conflict):
    """A turn with this id and other content was appended before; nothing was changed."""


class CounterOverflow(Conflict):
    """The tokens, the duration or the round of the conversation would leave its range; nothing was changed."""


class NotAppendable(Conflict):
    """Nothing can be appended to the stored message or reference: a text, a number or a bool; nothing was changed."""


class AlreadyExists(Conflict):
    """A row with this key exists already. Secrets and betas are unique over all tenants, ids within one."""


class AmbiguousId(Conflict):
    """Two tenants have this id, and the call names no tenant; nothing was done."""


class DialogNotEmpty(Conflict):
    """The dialog cannot be deleted while it has conversations."""


class OutsideTransaction(StoreError):
    """The store was used inside of its own transaction but not through it, or a transaction after its end."""


class AbortedTransaction(StoreError):
    """An error inside of the transaction was caught, but the server had undone the whole, or the connection was lost.

    Nothing was committed.
    """


class StalePlan(StoreError):
    """A migration changed a table while this transaction was open; roll back and run the transaction again."""


class StatementTimeout(StoreError, psycopg.OperationalError):
    """The statement took longer than the `statement_timeout` of the store, and was ended.

    The server has cancelled it, and nothing of it took effect; or, as the message says then, the server did not answer,
    and nobody knows.
    """


class UnsupportedConnection(StoreError):
    """The connection has a setting with which answers would be wrong; the message names it and what is needed."""


class ForkedConnection(StoreError):
    """A pool, a connection or a transaction of the parent process was used after a fork; nothing was sent."""


class MigrationError(StoreError):
    """The schema cannot be migrated."""


class SourceError(StoreError):
    """The database to import cannot be reached or read, or its connection was lost; the message says what to do.

    Of one in PostgreSQL the cause is the error of psycopg.
    """


class QueryError(StoreError):
    """A query file is not valid; the message names the file and the line.

    `text` is what stands in the file, and `position` an offset in it, where they are known.
    """

    text: str | None = None
    position: int | None = None
