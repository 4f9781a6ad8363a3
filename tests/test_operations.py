"""Every operation of the table: what it returns, whether it writes, its arguments, its signature, its tests."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import psycopg
import pytest

from conversation_store import (
    AsyncConversationStore,
    ConversationStore,
    InvalidArgument,
    InvalidArgumentType,
)
from conversation_store._operations import operation as one_statement
from conversation_store._sql_loader import load
from conversation_store._statement import Statement, scalar
from operations import OPERATIONS
from support.operation import Example, Operation, check
from support.statements import REPOSITORIES, NoServer, store_without_server

TESTS = Path(__file__).parent
# Test modules of a repository that are about no single method.
SUBJECTS = {
    "conversations/test_keyword_search.py",
    "conversations/test_entries.py",
    "conversations/test_expected_revision.py",
    "conversations/test_included_parts.py",
    "conversations/test_json_repair.py",
    "conversations/test_limits.py",
    "conversations/test_common_keywords.py",
    "conversations/test_list_files.py",
    "conversations/test_message_text.py",
    "conversations/test_session_settings.py",
    "conversations/test_turn_ids.py",
    "tokens/test_lock_order.py",
    "tokens/test_new_token.py",
    "tokens/test_secrecy.py",
}

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def public_methods(store: type | object) -> set[str]:
    """Return the name of every public method of the repositories of a store."""
    return {
        f"{repository}.{method}"
        for repository in REPOSITORIES
        for method in dir(getattr(store, repository))
        if not method.startswith("_")
    }


def test_the_table_has_each_public_method_once() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert set(names) == public_methods(ConversationStore(""))


@each_operation
def test_with_the_tenant_named_an_operation_returns_what_the_table_says(operation: Operation, store: Any) -> None:
    check(operation, store)


@pytest.mark.parametrize(
    "operation", [operation for operation in OPERATIONS if operation.tenant != "subject"], ids=lambda o: o.name
)
def test_on_a_bound_store_an_operation_needs_no_tenant(operation: Operation, store: Any) -> None:
    example = Example()
    example.save(store)
    result = operation.call(store.for_tenant(example.tenant), example)
    assert operation.returns(example, result)


@pytest.mark.parametrize(
    "operation", [operation for operation in OPERATIONS if operation.tenant == "found"], ids=lambda o: o.name
)
def test_without_a_tenant_an_operation_finds_the_one_that_has_the_id(operation: Operation, store: Any) -> None:
    example = Example()
    example.save(store)
    assert operation.returns(example, operation.call(store, example))


@pytest.mark.parametrize(
    "operation", [operation for operation in OPERATIONS if operation.tenant == "needed"], ids=lambda o: o.name
)
def test_an_operation_that_finds_no_tenant_says_how_to_name_it(operation: Operation) -> None:
    store = store_without_server()
    with pytest.raises(InvalidArgument, match=r"tenant_id.* must be given"):
        operation.call(store, Example())
    with pytest.raises(NoServer):
        operation.call(store, Example(), tenant_id="t")


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.tenant in ("found", "needed")], ids=lambda o: o.name)
def test_a_bound_store_refuses_another_tenant_before_any_sql(operation: Operation) -> None:
    bound = store_without_server(tenant_id="mine")
    with pytest.raises(InvalidArgument, match="tenant_id must be that of the bound store, 'mine', or be left out, not"):
        operation.call(bound, Example(), tenant_id="theirs")
    with pytest.raises(NoServer):
        operation.call(bound, Example(), tenant_id="mine")


@each_operation
def test_in_a_read_only_transaction_an_operation_that_writes_fails_and_another_does_not(
    operation: Operation, store: Any
) -> None:
    example = Example()
    example.save(store)
    if operation.writes:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), store.transaction(read_only=True) as tx:
            operation.call(tx, example, **operation.named(example))
    else:
        with store.transaction(read_only=True) as tx:
            check(operation, tx, example)


@pytest.mark.parametrize(
    ("operation", "argument"),
    [
        pytest.param(operation, argument, id=f"{operation.name}-{argument}")
        for operation in OPERATIONS
        for argument in inspect.signature(operation.method_of(ConversationStore(""))).parameters
    ],
)
def test_a_wrong_argument_raises_an_error_that_names_it(operation: Operation, argument: str) -> None:
    store = store_without_server()
    example = Example()
    arguments = {**operation.arguments(example), **operation.named(example)}
    with pytest.raises(NoServer):
        consume(operation.method_of(store)(**arguments))
    with pytest.raises((InvalidArgument, InvalidArgumentType), match=rf"^{argument}\b"):
        operation.method_of(store)(**{**arguments, argument: object()})


def consume(result: Any) -> None:
    """Take the items of a result that is an iterator."""
    if isinstance(result, Iterator):
        list(result)


# -- signatures ------------------------------------------------------------------------------------


@each_operation
def test_both_apis_have_the_same_arguments_results_and_docstring(operation: Operation) -> None:
    sync, on_asyncio = (operation.method_of(cls("")) for cls in (ConversationStore, AsyncConversationStore))
    signatures = inspect.signature(sync), inspect.signature(on_asyncio)
    assert signatures[0].parameters == signatures[1].parameters
    assert sync.__doc__ == on_asyncio.__doc__
    returned = signatures[0].return_annotation
    assert get_origin(returned) is not Statement
    if get_origin(returned) is Iterator:
        assert signatures[1].return_annotation == AsyncIterator[get_args(returned)[0]]  # type: ignore[misc]  # pyright: ignore[reportInvalidTypeArguments]
        assert not inspect.iscoroutinefunction(on_asyncio)
    else:
        assert signatures[1].return_annotation == returned
        assert inspect.iscoroutinefunction(on_asyncio)
    assert not inspect.iscoroutinefunction(sync)
    assert sync.__annotations__["return"] == returned


def test_a_result_of_nested_brackets_is_in_the_signature() -> None:
    class Methods:
        @one_statement
        def names(self) -> Statement[dict[str, list[str]]]:
            """Return names."""
            return scalar(load("conversation.count"), dict)

    assert inspect.signature(Methods.names).return_annotation == dict[str, list[str]]


# -- documentation and tests -----------------------------------------------------------------------


@each_operation
def test_the_docstring_names_the_files_of_the_operation(operation: Operation) -> None:
    doc = " ".join(operation.method_of(ConversationStore("")).__doc__.split())
    _, _, named = doc.partition("SQL: ")
    assert named == ", ".join(f"`sql/{file.replace('.', '/')}.sql`" for file in operation.files) + "."


@each_operation
def test_the_operation_has_a_module_of_tests(operation: Operation) -> None:
    assert (TESTS / operation.repository / f"test_{operation.method}.py").is_file()


def test_each_module_of_tests_of_a_repository_has_its_operation() -> None:
    modules = {path.relative_to(TESTS).as_posix() for name in REPOSITORIES for path in (TESTS / name).glob("test_*.py")}
    expected = {f"{operation.repository}/test_{operation.method}.py" for operation in OPERATIONS}
    assert modules == expected | SUBJECTS
