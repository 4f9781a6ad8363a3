"""A row of the table of operations, and the example that each operation is called on."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class Example:
    """What a call finds: a tenant with two dialogs, a conversation in the first one, and a token bound to it."""

    tenant: str = field(default_factory=lambda: uuid.uuid4().hex)
    token: str = field(default_factory=lambda: "secret-" + uuid.uuid4().hex)
    token_id: int = 0

    def __post_init__(self) -> None:
        self.dialog, self.empty_dialog = f"d-{self.tenant}", f"e-{self.tenant}"
        self.conversation, self.new, self.beta = f"c-{self.tenant}", f"n-{self.tenant}", f"b-{self.tenant}"

    def save(self, store: Any) -> None:
        """Store it."""
        store.dialogs.save(id=self.dialog, tenant_id=self.tenant, name="检索")
        store.dialogs.save(id=self.empty_dialog, tenant_id=self.tenant)
        store.conversations.save(
            id=self.conversation,
            dialog_id=self.dialog,
            tenant_id=self.tenant,
            user_id="u",
            exp_user_id="e",
            name="n",
            message=["问题"],
            reference=[{"chunks": [1.5]}],
            create_date="2024-01-01",
        )
        token = store.tokens.save(tenant_id=self.tenant, dialog_id=self.dialog, token=self.token, beta=self.beta)
        self.token_id = token.id


Tenant = Literal["found", "needed", "none", "subject"]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method: how it is called on an example, what it then returns, and its statements.

    *tenant* says what a call that names no tenant does on an unbound store: the tenant is "found" by an id, it is
    "needed", the method takes "none", or the tenant is the "subject" of the call.
    """

    name: str
    arguments: Callable[[Example], dict[str, Any]]
    returns: Callable[[Example, Any], object]  # true of the right result
    files: Sequence[str]
    tenant: Tenant = "found"
    writes: bool = False

    @property
    def repository(self) -> str:
        """The name of the repository, as the store has it."""
        return self.name.partition(".")[0]

    @property
    def method(self) -> str:
        """The name of the method."""
        return self.name.partition(".")[2]

    def method_of(self, store: Any) -> Any:
        """Return the method of a store."""
        return getattr(getattr(store, self.repository), self.method)

    def call(self, store: Any, example: Example, **more: Any) -> Any:
        """Call the method, and return its result, a list where it is an iterator."""
        result = self.method_of(store)(**{**self.arguments(example), **more})
        return list(result) if isinstance(result, Iterator) else result

    def named(self, example: Example) -> dict[str, Any]:
        """Return the argument that names the tenant, where the method takes it."""
        return {"tenant_id": example.tenant} if self.tenant in ("found", "needed") else {}


def check(operation: Operation, store: Any, example: Example | None = None) -> None:
    """Call an operation on an example of its own, naming its tenant, and assert that it returns what the table says."""
    if example is None:
        example = Example()
        example.save(store)
    result = operation.call(store, example, **operation.named(example))
    assert operation.returns(example, result), f"{operation.name} returned {result!r}"


def op(
    name: str,
    arguments: Callable[[Example], dict[str, Any]],
    returns: Callable[[Example, Any], object],
    *files: str,
    tenant: Tenant = "found",
    writes: bool = False,
) -> Operation:
    """Write a row; without *files*, it is the file of the method's own name."""
    table = {"tokens": "api_token", "dialogs": "dialog", "conversations": "conversation"}
    repository, _, method = name.partition(".")
    own = (f"{table.get(repository)}.{method}",)
    return Operation(name=name, arguments=arguments, returns=returns, files=files or own, tenant=tenant, writes=writes)


def ids(rows: Any) -> list[Any]:
    """Return the ids of rows."""
    return [row.id for row in rows]


def check_all(operations: Sequence[Operation], store: Any) -> None:
    """Call every operation, and assert that each returns what the table says."""
    for operation in operations:
        check(operation, store)
