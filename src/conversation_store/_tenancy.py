"""The tenant of a call: the one that is given or bound, or the one that has an id, found by a statement of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from conversation_store import _validation as validate
from conversation_store._sql_loader import Query, load
from conversation_store._statement import Described, Statement, Steps, many, run, then
from conversation_store.errors import AmbiguousId, InvalidArgument
from conversation_store.models import FoundTenant, Tenant

T = TypeVar("T")


class Find(NamedTuple):
    """How the tenant of an id is found."""

    noun: str
    query: Query
    narrow: Mapping[str, object] = MappingProxyType({})

    def statement(self, ids: list[str]) -> Statement[list[FoundTenant]]:
        """Describe the statement that finds the tenants of ids."""
        return many(self.query, FoundTenant, ids=ids, **self.narrow)


FIND_DIALOG = Find("dialog", load("dialog.find"))


def find_conversation(dialog_id: str | None = None) -> Find:
    """Return how the tenant of a conversation is found, which with *dialog_id* must be of this dialog."""
    return Find("conversation", _FIND_CONVERSATION, {"dialog_id": dialog_id})


_FIND_CONVERSATION = load("conversation.find")
_ITER_TENANTS = load("dialog.iter_tenants")

# No tenant has the empty id: a statement with it finds nothing, and says so as it does of any other id.
_NO_TENANT = ""
_TENANTS = 1_000


def known(bound: str | None, tenant_id: object) -> str | None:
    """Return the tenant that a call names or its store is bound to, or None where it has to be found."""
    if tenant_id is None:
        return bound
    tenant = validate.identifier("tenant_id", tenant_id)
    if bound not in (None, tenant):
        raise InvalidArgument(f"tenant_id must be that of the bound store, {bound!r}, or be left out, not {tenant!r}")
    return tenant


def needed(bound: str | None, tenant_id: object) -> str:
    """Return the tenant of a call that names no id by which it could be found."""
    tenant = known(bound, tenant_id)
    if tenant is None:
        raise InvalidArgument("tenant_id must be given, or the store be bound to a tenant by for_tenant(tenant_id)")
    return tenant


def same(name: str, tenant: str | None, row: Mapping[str, object]) -> str | None:
    """Return the tenant of a call, which that of a row, where the row has one, must not contradict."""
    if row.get("tenant_id") is None:
        return tenant
    own = validate.identifier(f"{name}['tenant_id']", row["tenant_id"])
    if tenant not in (None, own):
        raise InvalidArgument(f"{name}['tenant_id'] must be {tenant!r} or be left out, not {own!r}")
    return own


def for_one(
    tenant: str | None, find: Find, id: str, describe: Callable[[str], Described[T]], *, atomic: bool = False
) -> Described[T]:
    """Describe a call for the tenant of one id."""
    if tenant is not None:
        return describe(tenant)

    def steps() -> Generator[Statement[Any], Any, T]:
        tenants = _by_tenant(find, (yield find.statement([id])))
        return (yield from run(describe(next(iter(tenants), _NO_TENANT))))

    return Steps(steps(), atomic)


def for_each(
    tenant: str | None,
    find: Find,
    ids: list[str],
    describe: Callable[[str, list[str]], Described[T]],
    merge: Callable[[Iterable[T]], T],
    *,
    atomic: bool = False,
    check_missing: Callable[[list[str]], object] = lambda missing: None,
    named: Mapping[str, list[str]] = MappingProxyType({}),
) -> Described[T]:
    """Describe a call for the tenants of a list of ids: one after the other, in order of the tenants.

    *check_missing* is called with the ids that no tenant has. *named* are ids whose tenants need not be found.
    """
    if tenant is not None:
        return describe(tenant, ids)
    if not ids and len(named) == 1:
        return describe(*next(iter(named.items())))

    def steps() -> Generator[Statement[Any], Any, T]:
        by_tenant = {owner: list(some) for owner, some in named.items()}
        if ids:
            found: list[FoundTenant] = yield find.statement(ids)
            there = {row.id for row in found}
            check_missing([id for id in ids if id not in there])
            for owner, some in _by_tenant(find, found).items():
                by_tenant.setdefault(owner, []).extend(some)
        results: list[T] = []
        for owner in sorted(by_tenant):
            results.append((yield from run(describe(owner, by_tenant[owner]))))
        return merge(results)

    return Steps(steps(), atomic)


def several(described: Described[T]) -> Steps[T]:
    """Return a description of several statements as such."""
    return described if isinstance(described, Steps) else Steps(run(described))


def _by_tenant(find: Find, found: Iterable[FoundTenant]) -> Mapping[str, list[str]]:
    """Return the ids of each tenant, in order of the tenants."""
    tenants: dict[str, str] = {}
    for row in found:
        if tenants.setdefault(row.id, row.tenant_id) != row.tenant_id:
            raise AmbiguousId(
                f"two tenants have a {find.noun} {row.id!r}: give tenant_id, or use for_tenant(tenant_id)"
            )
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for id, tenant in tenants.items():
        ids[tenant].append(id)
    return dict(sorted(ids.items()))


def walk(
    tenant: str | None, dialog_id: str | None, steps: Callable[[str], Generator[Statement[Any], Any, Any]]
) -> Generator[Statement[Any], Any, None]:
    """Yield the statements of a walk: of a tenant, of the tenant of a dialog, or of one tenant after the other.

    In a stream, the statements that find the tenants give no items.
    """
    if tenant is not None:
        yield from steps(tenant)
    elif dialog_id is not None:
        found: list[FoundTenant] = []
        yield _aside(FIND_DIALOG.statement([dialog_id]), found)
        for owner in _by_tenant(FIND_DIALOG, found):
            yield from steps(owner)
    else:
        after_tenant_id = _NO_TENANT
        while True:
            page: list[Tenant] = []
            yield _aside(many(_ITER_TENANTS, Tenant, after_tenant_id=after_tenant_id, limit=_TENANTS), page)
            for row in page:
                yield from steps(row.tenant_id)
            if len(page) < _TENANTS:
                return
            after_tenant_id = page[-1].tenant_id


def _aside(statement: Statement[list[T]], into: list[T]) -> Statement[list[Any]]:
    """Describe the same statement, whose rows go into a list and not to the caller."""

    def read(rows: list[T]) -> list[Any]:
        into.extend(rows)
        return []

    return then(statement, read)
