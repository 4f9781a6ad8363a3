"""No tenant crosses into another: every operation of a bound store, with the ids and secrets of another tenant."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from conversation_store import AlreadyExists, InvalidArgument, OutsideTransaction, TurnConflict
from conversation_store.jsonl import import_jsonl
from conversation_store.store import ConversationStore
from operations import OPERATIONS
from support.both_apis import AsyncApi, SyncApi
from support.operation import Example, Operation
from support.statements import store_without_server

BOUND = [operation for operation in OPERATIONS if operation.tenant != "subject"]
TABLES = ("dialog", "conversation", "conversation_message", "conversation_reference", "conversation_turn", "api_token")

each_operation = pytest.mark.parametrize("operation", BOUND, ids=lambda operation: operation.name)


def rows_of(db: str, tenant: str) -> dict[str, list[str]]:
    """Return all rows of a tenant, in every table."""
    with psycopg.connect(db) as connection:
        return {
            table: [
                row
                for (row,) in connection.execute(
                    f"SELECT t::text FROM conversation_store.{table} AS t WHERE tenant_id = %s ORDER BY t::text".encode(),
                    [tenant],
                )
            ]
            for table in TABLES
        }


MADE_UP = {"token", "hint", "create_date", "update_date", "create_time", "update_time", "predecessor_id"}


def plain(result: Any) -> Any:
    """Return a result without the parts that are made up."""
    if isinstance(result, list):
        return [plain(item) for item in result]
    if hasattr(result, "to_dict"):
        return {
            key: value
            for key, value in result.to_dict().items()
            if key not in MADE_UP and not (key == "id" and isinstance(value, int))
        }
    return result


def outcome(operation: Operation, store: Any, mine: Example, example: Example) -> str:
    """Return what a call of my tenant returns or raises, without its ids."""
    try:
        text = str(plain(operation.call(store.for_tenant(mine.tenant), example)))
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
    return text.replace(example.tenant, "…").replace(mine.tenant, "…").replace(str(example.token_id), "…")


@each_operation
def test_the_ids_of_another_tenant_are_as_unknown_as_ids_that_nobody_has(
    operation: Operation, store: Any, db: str
) -> None:
    mine, also_mine, theirs, nobodys = Example(), Example(), Example(), Example(token_id=2**62)
    for example in (mine, also_mine, theirs):
        example.save(store)
    before = rows_of(db, theirs.tenant)
    assert outcome(operation, store, mine, theirs) == outcome(operation, store, also_mine, nobodys)
    assert rows_of(db, theirs.tenant) == before


@each_operation
def test_where_two_tenants_have_the_same_ids_only_the_bound_one_is_read_and_changed(
    operation: Operation, store: Any, db: str
) -> None:
    mine = Example()
    mine.save(store)
    theirs = replace(mine, tenant="other-" + mine.tenant, token="other-" + mine.token)
    for name in ("dialog", "empty_dialog", "conversation", "new"):
        setattr(theirs, name, getattr(mine, name))
    theirs.beta = "other-" + mine.beta
    theirs.save(store)
    before = rows_of(db, theirs.tenant)
    result = operation.call(store.for_tenant(mine.tenant), mine)
    assert operation.returns(mine, result)
    assert theirs.tenant not in repr(result)
    assert rows_of(db, theirs.tenant) == before


def test_a_cursor_of_another_tenant_is_refused(store: Any, tenant: str) -> None:
    for owner in (tenant, "other-" + tenant):
        bound = store.for_tenant(owner)
        bound.dialogs.save(id="d")
        bound.conversations.insert_many([{"dialog_id": "d"}] * 2)
    cursor = store.for_tenant("other-" + tenant).conversations.list_after("d", items_per_page=1).next_cursor
    with pytest.raises(InvalidArgument, match="cursor must be used with the dialog, the order and the filters"):
        store.for_tenant(tenant).conversations.list_after("d", cursor=cursor)


@pytest.mark.parametrize("repository", ["dialogs", "conversations"])
def test_rows_of_another_tenant_are_not_inserted(store: Any, tenant: str, dialog: str, repository: str) -> None:
    rows = [{"id": "new" + tenant, "dialog_id": dialog, "tenant_id": "other-" + tenant}]
    if repository == "dialogs":
        del rows[0]["dialog_id"]
    with pytest.raises(InvalidArgument, match=r"\[0\]\['tenant_id'\] must be .* or be left out"):
        getattr(store.for_tenant(tenant), repository).insert_many(rows)


def test_lines_of_another_tenant_are_rejected(db: str, tenant: str) -> None:
    other = "other-" + tenant
    lines = [
        {"dialog": {"id": "d", "tenant_id": other}},
        {"dialog_id": "d", "id": "c", "tenant_id": other},
    ]
    rejected: list[str] = []
    with ConversationStore(db) as store:
        store.for_tenant(other).dialogs.save(id="d")
        before = rows_of(db, other)
        file = io.BytesIO("".join(json.dumps(line) + "\n" for line in lines).encode())
        done = import_jsonl(store, file, tenant_id=tenant, on_rejected=lambda line: rejected.append(line.reason))
    assert done.conversations == 0
    assert rejected == [
        f"the dialog 'd' belongs to the tenant {other!r}",
        f"the conversation 'c' belongs to the tenant {other!r}",
    ]
    assert rows_of(db, other) == before


def test_a_secret_or_a_beta_that_another_tenant_has_is_not_saved(store: Any, tenant: str) -> None:
    """The exception: these are unique over all tenants, since a request that comes with one names no tenant."""
    token, beta = "secret-" + uuid.uuid4().hex, uuid.uuid4().hex
    store.for_tenant("other-" + tenant).tokens.save(token=token, beta=beta)
    for arguments in ({"token": token}, {"token": "new" + token, "beta": beta}):
        with pytest.raises(AlreadyExists):
            store.for_tenant(tenant).tokens.save(**arguments)


# -- bound stores and transactions -----------------------------------------------------------------


def test_a_bound_store_is_part_of_the_transaction_that_it_is_made_from(store: Any, tenant: str) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.for_tenant(tenant).dialogs.save(id="d")
        assert tx.for_tenant(tenant).dialogs.get_by_id("d") is not None
        raise ZeroDivisionError
    assert store.for_tenant(tenant).dialogs.get_by_id("d") is None


def test_a_transaction_of_a_bound_store_is_bound(store: Any, tenant: str) -> None:
    bound = store.for_tenant(tenant)
    with bound.transaction() as tx, tx.transaction() as nested:
        nested.dialogs.save(id="d")
        with pytest.raises(InvalidArgument, match="tenant_id must be that of the bound store"):
            nested.dialogs.save(id="d", tenant_id="other-" + tenant)
    assert bound.dialogs.get_by_id("d").tenant_id == tenant


def test_a_bound_store_and_its_parent_are_refused_inside_of_the_transaction_of_the_other(
    store: Any, tenant: str
) -> None:
    bound = store.for_tenant(tenant)
    with store.transaction(), pytest.raises(OutsideTransaction):
        bound.dialogs.get_by_id("d")
    with bound.transaction():
        with pytest.raises(OutsideTransaction):
            store.dialogs.get_by_id("d", tenant_id=tenant)
        with pytest.raises(OutsideTransaction):
            store.for_tenant("other-" + tenant).dialogs.get_by_id("d")


def test_a_function_runs_in_a_transaction_of_the_tenant(api: SyncApi | AsyncApi, db: str, tenant: str) -> None:
    with api.store(db) as store:
        bound = store.for_tenant(tenant)
        if isinstance(api, SyncApi):
            saved = bound.run_in_transaction(lambda tx: tx.dialogs.save(id="d"))
        else:

            async def save(tx: Any) -> Any:
                return await tx.dialogs.save(id="d")

            saved = api.run(lambda: bound.awaited.run_in_transaction(save))
        assert bound.dialogs.get_by_id("d") == saved


def test_a_tenant_is_an_id(store: Any) -> None:
    for wrong in ("", None, "x" * 129, "a\0"):
        with pytest.raises(InvalidArgument, match="tenant_id"):
            store.for_tenant(wrong)
    number = uuid.uuid4()
    assert store.for_tenant(number).dialogs.save(id=number).id == number.hex


# -- policies of a DBA ---------------------------------------------------------------------------------


@pytest.mark.one_server("a worker does not have the settings of a session that the policies read")
def test_policies_for_a_role_that_owns_nothing_leave_no_hole(database: str) -> None:
    role = psycopg.conninfo.conninfo_to_dict(database)["dbname"] + "_service"  # type: ignore[operator]
    with ConversationStore(database) as store, psycopg.connect(database, autocommit=True) as admin:
        for tenant in ("mine", "theirs"):
            store.for_tenant(tenant).dialogs.save(id="d")
            store.for_tenant(tenant).conversations.save(id="c", dialog_id="d", message=["secret"], reference=["r"])
            store.for_tenant(tenant).conversations.append_round("c", [], turn_id="t")
            store.for_tenant(tenant).tokens.issue()
        admin.execute(f"CREATE ROLE {role} LOGIN".encode())
        try:
            admin.execute(f"GRANT USAGE ON SCHEMA conversation_store TO {role}".encode())
            admin.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA conversation_store TO {role}".encode())
            for table in TABLES:
                admin.execute(f"ALTER TABLE conversation_store.{table} ENABLE ROW LEVEL SECURITY".encode())
                admin.execute(
                    f"CREATE POLICY tenants ON conversation_store.{table}"
                    " USING (tenant_id = current_setting('app.tenant', TRUE))".encode()
                )
            own = make_conninfo(database, user=role, options="-c app.tenant=mine")
            with ConversationStore(own) as limited:
                assert [c.tenant_id for c in limited.conversations.iter()] == ["mine"]
                assert limited.conversations.count() == 1
                assert limited.conversations.get_by_id("c", tenant_id="theirs") is None
                assert limited.for_tenant("theirs").conversations.get_list("d") == (0, [])
                assert limited.for_tenant("theirs").conversations.delete_by_id("c") == 0
                assert limited.for_tenant("theirs").tokens.query() == []
                read = limited.conversations.get_by_id("c")
                assert read is not None
                assert (read.message, read.tenant_id) == (["secret"], "mine")
                assert [limited.conversations.append_round("c", ["x"], turn_id=n) for n in ("t 2", "t 2")] == [2, 2]
                with pytest.raises(TurnConflict):
                    limited.conversations.append_round("c", ["x"], turn_id="t")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    limited.for_tenant("theirs").dialogs.save(id="new")
                # COPY FROM is refused by the server where a table has policies.
                with pytest.raises(psycopg.errors.FeatureNotSupported, match="COPY FROM not supported with row-level"):
                    limited.for_tenant("mine").conversations.insert_many([{"dialog_id": "d"}])
        finally:
            admin.execute(f"DROP OWNED BY {role}".encode())
            admin.execute(f"DROP ROLE {role}".encode())
    assert [len(rows) for rows in rows_of(database, "theirs").values()] == [1, 1, 1, 1, 1, 1]


class Pretending(str):
    """A text that is equal to every text."""

    __slots__ = ()

    def __eq__(self, _: object) -> bool:
        return True

    def __ne__(self, _: object) -> bool:
        return False

    __hash__ = str.__hash__

    def __str__(self) -> str:
        return "mine"


class PretendingInt(int):
    def __str__(self) -> str:
        return "mine"


class PretendingUuid(uuid.UUID):
    @property
    def hex(self) -> str:
        return "mine"


@pytest.mark.parametrize("other", [Pretending("theirs"), PretendingInt(5), PretendingUuid(int=5)])
def test_a_bound_store_compares_the_value_that_is_sent(other: Any) -> None:
    bound = store_without_server().for_tenant("mine")
    calls: list[Callable[[], object]] = [
        lambda: bound.conversations.get_by_id("c", tenant_id=other),
        lambda: bound.conversations.get_list("d", other),
        lambda: bound.dialogs.insert_many([{"id": "d", "tenant_id": other}]),
        lambda: bound.tokens.issue(tenant_id=other),
    ]
    for call in calls:
        with pytest.raises(InvalidArgument, match=r"'mine'.* or be left out, not '(theirs|5|0{31}5)'"):
            call()
