"""The table of what Python expects of each file, held to the statements that the methods describe."""

from __future__ import annotations

import ast
import inspect
import types
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from conversation_store import Conversation, ConversationStore
from conversation_store._conversation_input import read_new
from conversation_store._json_writer import JsonWriter
from conversation_store._sql_loader import load_all
from conversation_store._statement import Statement
from conversation_store.dba.contract import Json, bare
from conversation_store.dba.own_contracts import FILES
from conversation_store.models import ApiToken
from conversation_store.ragflow import _import_conversations, _import_dialogs, _import_tokens, _layout
from operations import MYSQL_FILES, OPERATIONS
from shapes import FINDING, SHAPES
from support.operation import Operation
from support.statements import statement_of

COPIES = ("conversation.insert_many", "conversation_message.insert_many", "conversation_reference.insert_many")


def described() -> Iterator[tuple[str, Statement[Any]]]:
    """Return the statements of all shapes, each with the name of the method or file."""
    for name, shapes in [*SHAPES.items(), *((name, [shape]) for name, shape in FINDING.items())]:
        for shape in shapes:
            yield name, statement_of(shape.call, *shape.answers)
    # With what no shape gives.
    yield "tokens.expire", statement_of(lambda s: s.tokens.expire(1, tenant_id="t", expire_date="2100-01-01"))
    yield (
        "conversations.append_round",
        statement_of(
            lambda s: s.conversations.append_round("x", [1], tenant_id="t", expected_round=1, expected_revision=1)
        ),
    )


DESCRIBED = list(described())


def is_of(value: Any, hint: Any) -> bool:
    """Return whether a parameter may be passed where this type is expected; dates are passed as text too."""
    if value is None:
        return True
    kind, _ = bare(hint)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(isinstance(item, get_args(kind)[0]) for item in value)
    return type(value) in {Json: (str,), datetime: (datetime, str), float: (float, int)}.get(kind, (kind,))


def test_each_file_has_a_contract() -> None:
    assert FILES.keys() | MYSQL_FILES.keys() == load_all().keys()


def test_each_contract_is_that_of_a_statement_or_of_a_copy_or_of_an_import() -> None:
    seen = {statement.query.name for _, statement in DESCRIBED} | {*COPIES}
    assert {name for name in FILES if not name.startswith("ragflow.")} == seen


def test_the_parameters_of_a_statement_are_those_of_its_contract() -> None:
    given: defaultdict[str, set[str]] = defaultdict(set)
    for name, statement in DESCRIBED:
        passed = FILES[statement.query.name].passed()
        assert passed is not None
        assert statement.params.keys() == passed.keys(), name
        for parameter, value in statement.params.items():
            assert is_of(value, passed[parameter]), f"{name} passes {parameter}={value!r}, not {passed[parameter]}"
            if value is not None:
                given[parameter].add(statement.query.name)
    # A type that no value was held to may be any.
    names = {
        parameter for file, contract in FILES.items() if "ragflow" not in file for parameter in contract.passed() or ()
    }
    columns = {column for file in COPIES for column in FILES[file].passed() or ()}
    assert names - columns <= given.keys()


def test_the_rows_of_a_statement_are_of_the_class_of_its_contract() -> None:
    for _, statement in DESCRIBED:
        contract = FILES[statement.query.name]
        if statement.query.returns == "count":
            assert contract.row is None
        elif inspect.isclass(statement.row):
            assert statement.row is contract.row
            assert not contract.before
        elif statement.row is None:  # a number, or a list with its total
            assert contract.row in (int, Conversation)
        else:
            # Columns in front of the row are the arguments in front of *columns.
            before = [
                p.name for p in inspect.signature(statement.row).parameters.values() if p.kind is not p.VAR_POSITIONAL
            ]
            assert before == list(contract.before)
            assert contract.row in (ApiToken, Conversation)


def test_the_methods_of_a_contract_are_those_that_describe_its_statements() -> None:
    users: defaultdict[str, set[str]] = defaultdict(set)
    for name, statement in DESCRIBED:
        users[statement.query.name].add(name)
    for file, contract in FILES.items():
        methods = set(contract.methods) if file not in COPIES else set()
        assert {name for name in users[file] if name in SHAPES} == methods, file
        assert [o.name for o in OPERATIONS if file in o.files] == sorted(
            contract.methods, key=[o.name for o in OPERATIONS].index
        )


def test_a_copy_sends_the_columns_of_its_contract() -> None:
    new = read_new("new", {"dialog_id": "d", "message": ["m"], "reference": ["r"], "user_id": "u"}, JsonWriter())
    columns, types = new.columns("t"), FILES["conversation.insert_many"].passed()
    assert types is not None
    assert len(columns) == len(types)
    for value, (name, hint) in zip(columns, types.items(), strict=True):
        assert is_of(value, hint), name
    assert list(types)[:3] == ["id", "tenant_id", "dialog_id"]


@pytest.mark.parametrize("module", [_import_conversations, _import_dialogs, _import_tokens, _layout])
def test_an_import_reads_what_its_contracts_say(module: Any) -> None:
    found = 0
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "read":
            match node.args:
                case [ast.Constant(value=str(file)), ast.Name(id=row)]:
                    found += 1
                    contract = FILES[f"ragflow.{file}"]
                    assert getattr(contract.row, "__name__", "") == row
                    keywords = {word.arg for word in node.keywords if word.arg}
                    assert keywords <= (contract.passed() or {}).keys()
                case _:
                    pass
    assert found or module is _import_dialogs


def takes(hint: Any, kind: Any) -> bool:
    """Return whether an argument of this annotation may become a parameter of this type."""
    if kind is Json or hint is Any or hint is object:
        return True
    if get_origin(hint) in (Union, types.UnionType):
        return any(takes(each, kind) for each in get_args(hint))
    if get_origin(hint) is Literal:
        return kind is str
    if get_origin(kind) is list:
        return get_origin(hint) is Iterable and takes(get_args(hint)[0], get_args(kind)[0])
    return hint in {datetime: (str, date, datetime), bytes: (str,), float: (float, int, timedelta)}.get(kind, (kind,))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_arguments_of_a_method_are_of_the_types_of_its_parameters(operation: Operation) -> None:
    hints = get_type_hints(operation.method_of(ConversationStore("")))
    for file in operation.files:
        # A file that the method runs beside its own has parameters of the same names, and they are other things.
        if file.endswith(f".{operation.method}"):
            for name, kind in (FILES[file].passed() or {}).items():
                assert name not in hints or takes(hints[name], kind), f"{file}: {name} is {hints[name]}, not {kind}"
