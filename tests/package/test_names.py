"""The public names of the package, the tree of its errors, and what an import of it needs."""

from __future__ import annotations

import sys
from pathlib import Path

import conversation_store
from conversation_store import StoreError, errors
from support.programs import run


def test_the_public_names_are_these() -> None:
    constants_first = sorted(conversation_store.__all__, key=lambda name: (not name.isupper(), name))
    assert conversation_store.__all__ == constants_first
    assert set(conversation_store.__all__) == {
        *(
            "ConversationStore",
            "AsyncConversationStore",
            "Transaction",
            "AsyncTransaction",
            "OnStatement",
            "migrate",
            "migrate_async",
            "check_schema",
            "check_schema_async",
            "new_token",
        ),
        *("ConversationRepository", "DialogRepository", "ApiTokenRepository"),
        *("AsyncConversationRepository", "AsyncDialogRepository", "AsyncApiTokenRepository"),
        *("Conversation", "ConversationName", "DailyStats", "Page", "Dialog", "ApiToken", "IssuedToken"),
        *(
            "StoreError",
            "NotFound",
            "ConversationNotFound",
            "DialogNotFound",
            "TokenNotFound",
            "Conflict",
            "RoundConflict",
            "RevisionConflict",
            "TurnConflict",
            "CounterOverflow",
            "NotAppendable",
            "InvalidArgument",
            "InvalidArgumentType",
        ),
        *(
            "AlreadyExists",
            "DialogNotEmpty",
            "OutsideTransaction",
            "AbortedTransaction",
            "ForkedConnection",
            "SourceError",
            "StalePlan",
            "StatementTimeout",
            "UnsupportedConnection",
            "MigrationError",
            "QueryError",
        ),
        *("TenantRepository", "AsyncTenantRepository", "DeletedTenant", "CursorPage", "OnProgress"),
        *("TenantStore", "AsyncTenantStore", "TenantTransaction", "AsyncTenantTransaction"),
        *(
            "NOT_READ",
            "NotRead",
            "NO_SOURCE",
            "NoSource",
            "LimitedList",
            "MessageList",
            "Entry",
            "Hit",
            "SearchPage",
            "AmbiguousId",
        ),
    }


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    lines = [line for line in (errors.__doc__ or "").splitlines() if line and line[0] in "│├└S"]
    drawn = {
        line.lstrip("│├└─ ").partition(" ")[0]: line.partition("(also a ")[2].rstrip(")").rpartition(".")[2]
        for line in lines
    }
    kinds = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert drawn.keys() == kinds.keys()
    for name, kind in kinds.items():
        assert issubclass(kind, StoreError)
        assert drawn[name] in ("", *(base.__name__ for base in kind.__bases__))
        assert drawn[name] or kind.__bases__[0] in (Exception, *kinds.values())
        assert kind.__doc__


def test_the_core_needs_a_driver_and_a_pool_and_nothing_else(tmp_path: Path) -> None:
    code = "import sys, conversation_store; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(run(sys.executable, "-c", code, cwd=tmp_path).split())
    ours = loaded - set(sys.stdlib_module_names) - {"__main__"}
    assert {"conversation_store", "psycopg", "psycopg_pool"} <= ours
    assert not ours & {"click", "rich", "sqlalchemy", "pydantic"}


def test_the_parts_for_ragflow_are_imported_by_who_asks_for_them(tmp_path: Path) -> None:
    core = (
        "import sys, conversation_store, conversation_store.jsonl; print(*[m for m in sys.modules if 'ragflow' in m])"
    )
    assert run(sys.executable, "-c", core, cwd=tmp_path).split() == []
    services = "import sys, conversation_store.ragflow.services; print(*{m.split('.')[0] for m in sys.modules})"
    assert not {"pymysql", "peewee", "click"} & set(run(sys.executable, "-c", services, cwd=tmp_path).split())
