"""The table and the service of API tokens, under their names in RAGFlow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, ClassVar, overload

from conversation_store import _validation as validate
from conversation_store.api_tokens import ApiTokenRepository
from conversation_store.errors import InvalidArgument, TokenNotFound
from conversation_store.models import ApiToken
from conversation_store.ragflow._fields import Condition, TextField, all_known, checked_conditions, known, narrowed
from conversation_store.ragflow._rows import Origin, Row, Values
from conversation_store.ragflow._service import Service
from conversation_store.ragflow._settings import Settings, settings

_CHANGES = ("dialog_id", "source", "beta")
_NEW = ("tenant_id", "token", *_CHANGES)
# What the columns of dates are there; the store sets them itself, as it is there.
_STAMPS = ("create_time", "create_date", "update_time", "update_date")


class Executed(int):
    """The number of rows of a statement that has run."""

    def execute(self) -> int:
        """Return the number of rows; nothing runs again."""
        return int(self)


class TokenReference(str):
    """What stands for the secret of a token in a list: its end and its id, by which a filter knows the token again."""

    __slots__ = ()


class _SecretField(TextField[str]):
    """The secret, which only the caller knows: a row that was not found by it has a reference."""

    @overload
    def __get__(self, row: None, owner: type) -> _SecretField: ...
    @overload
    def __get__(self, row: Row, owner: type) -> str: ...
    def __get__(self, row: Row | None, owner: type) -> Any:
        """Return the field itself, or the secret, which raises `NotImplementedError` where it is not known."""
        if row is None:
            return self
        value = row.to_dict().get(self.name)
        if isinstance(value, TokenReference):
            raise NotImplementedError(
                "the secret of a token is not stored, so a list has none: to_dict()['token'] is its end and its id,"
                " which filter_update and filter_delete take in its place; a new secret comes from save,"
                " store.tokens.issue or store.tokens.rotate"
            )
        return value

    def _compared(self, compare: Callable[[Any, Any], bool], value: object) -> Condition:
        raise NotImplementedError("the secret of a token is not stored: a condition on it is APIToken.token == secret")


class APIToken(Row):
    """A token of a tenant."""

    DoesNotExist = TokenNotFound
    _defaults: ClassVar[Mapping[str, Callable[[], Any]]] = {}

    tenant_id = TextField[str](required=True)
    token = _SecretField(required=True)
    dialog_id = TextField["str | None"]()
    source = TextField["str | None"]()
    beta = TextField["str | None"]()

    @classmethod
    def find_values(cls, where: Sequence[Condition]) -> Iterable[Values]:
        """Return the values of the live tokens for which all conditions hold; finding one by secret or beta uses it.

        SQL: `sql/api_token/authenticate.sql`, `sql/api_token/authenticate_beta.sql`, `sql/api_token/query.sql`.
        """
        now = datetime.now(UTC)
        return [values for row, values in _found(settings(), where, _Live()) if _is_live(row, now)]


class APITokenService(Service[APIToken]):
    """API tokens, under the names and with the arguments of RAGFlow's service."""

    model = APIToken

    @classmethod
    def used(cls, token: Any) -> Executed:
        """Stamp the use of a token at once; `execute()` of the result returns how many there were, 1 or 0.

        SQL: `sql/api_token/used.sql`.
        """
        return Executed(settings().store.tokens.used(token) if isinstance(token, str) else 0)

    @classmethod
    def save(cls, **values: Any) -> int:
        """Store a token with the secret that the caller made, of any length, and return 1.

        Dates are now, whatever is given. A dialog that the store does not have is created with its owner. Raises
        `AlreadyExists`, `DialogNotFound`, and `InvalidArgument` of other names. SQL: `sql/api_token/save.sql`.
        """
        current, new = settings(), _checked("the token", values)
        _with_its_dialog(current, new)
        current.store.tokens.save(**new, allow_weak=True)
        return 1

    @classmethod
    def insert(cls, **values: Any) -> int:
        """Store a token, as `save`; an `id`, which tokens do not have there, is ignored."""
        return cls.save(**{name: value for name, value in values.items() if name != "id"})

    @classmethod
    def insert_many(cls, data_list: Iterable[Mapping[str, Any]], batch_size: int = 100) -> None:
        """Store tokens, all of them or none, each with its own mix of fields; *batch_size* is ignored."""
        rows = [_checked(f"data_list[{index}]", values) for index, values in enumerate(data_list)]
        for values in rows:
            _with_its_dialog(settings(), values)
        with settings().transaction() as current:
            for values in rows:
                current.store.tokens.save(**values, allow_weak=True)

    @classmethod
    def delete_by_tenant_id(cls, tenant_id: Any) -> int:
        """Delete every token of a tenant, and return how many there were.

        SQL: `sql/api_token/delete_by_tenant_id.sql`.
        """
        tenant = known(tenant_id)
        return 0 if tenant is None else settings().store.tokens.delete_by_tenant_id(tenant)

    @classmethod
    def filter_update(cls, filters: Sequence[Condition], update_data: Mapping[str, Any]) -> int:
        """Change `dialog_id`, `source` and `beta` of the tokens for which all conditions hold; return how many.

        A whole row may be given: of one that was read here only what was changed in it is stored. Another secret or
        tenant raises `NotImplementedError`. SQL: `sql/api_token/query.sql`, `sql/api_token/update_by_id.sql`.
        """
        conditions = checked_conditions(filters)
        given = validate.keys("update_data", update_data, (*_NEW, *_STAMPS), quote=False)
        with settings().transaction() as current:
            found = _found(current, conditions, _Any())
            for row, values in found:
                for name in ("tenant_id", "token"):
                    if name in given and known(given[name], maximum=validate.MAX_ERRORS) != values[name]:
                        raise NotImplementedError(
                            f"filter_update cannot change the {name} of a token: save another one and delete this one,"
                            " or use store.tokens.rotate"
                        )
                read: Mapping[str, Any] = update_data.read(row.id) if isinstance(update_data, Values) else {}
                changes = {
                    name: given[name] or None
                    for name in _CHANGES
                    if name in given and not (name in read and read[name] == given[name])
                }
                if changes.get("dialog_id"):
                    current.tenant_of(changes["dialog_id"], row.tenant_id)
                if changes:
                    current.store.tokens.update_by_id(row.id, changes, tenant_id=row.tenant_id)
            return len(found)

    @classmethod
    def filter_delete(cls, filters: Sequence[Condition]) -> int:
        """Delete the tokens for which all conditions hold; return how many there were.

        SQL: `sql/api_token/query.sql`, `sql/api_token/delete_by_id.sql`.
        """
        conditions = checked_conditions(filters)
        with settings().transaction() as current:
            found = _found(current, conditions, _Any())
            return sum(current.store.tokens.delete_by_id(row.id, tenant_id=row.tenant_id) for row, _ in found)

    @classmethod
    def get_by_id(cls, pid: Any) -> Any:
        """Raise `NotImplementedError`, as all methods by id do: a token has no id there."""
        raise _no_id("get_by_id")

    @classmethod
    def get_by_ids(cls, pids: Any, cols: Any = None) -> Any:
        """Raise `NotImplementedError`."""
        raise _no_id("get_by_ids")

    @classmethod
    def update_by_id(cls, pid: Any, data: Any) -> Any:
        """Raise `NotImplementedError`."""
        raise _no_id("update_by_id")

    @classmethod
    def update_many_by_id(cls, data_list: Any) -> Any:
        """Raise `NotImplementedError`."""
        raise _no_id("update_many_by_id")

    @classmethod
    def delete_by_id(cls, pid: Any) -> Any:
        """Raise `NotImplementedError`."""
        raise _no_id("delete_by_id")

    @classmethod
    def delete_by_ids(cls, pids: Any) -> Any:
        """Raise `NotImplementedError`."""
        raise _no_id("delete_by_ids")


class _Live:
    """How `query` finds tokens: a secret or a beta authenticates."""

    def by_token(self, tokens: ApiTokenRepository, token: str, tenants: Iterable[str]) -> list[ApiToken]:
        found = tokens.authenticate(token)
        return [] if found is None else [found]

    def by_beta(self, tokens: ApiTokenRepository, beta: str) -> list[ApiToken]:
        found = tokens.authenticate_beta(beta)
        return [] if found is None else [found]


class _Any:
    """How changes find tokens: expired and revoked ones too, and by a reference where the tenant is known."""

    def by_token(self, tokens: ApiTokenRepository, token: str, tenants: Iterable[str]) -> list[ApiToken]:
        if found := tokens.query(token=token):
            return found
        if not _REFERENCE.fullmatch(token):
            return []
        of_tenants = chain.from_iterable(_of_tenant(tokens, tenant) for tenant in tenants)
        return [row for row in of_tenants if _reference(row) == token]

    def by_beta(self, tokens: ApiTokenRepository, beta: str) -> list[ApiToken]:
        return tokens.query(beta=beta)


def _found(current: Settings, where: Sequence[Condition], how: _Live | _Any) -> list[tuple[ApiToken, Values]]:
    """Return the tokens for which all conditions hold, each with its values."""
    one_of = narrowed(where)
    tokens = current.store.tokens
    tenants = all_known("tenant_id", one_of.get("tenant_id", ()))
    rows: list[tuple[ApiToken, str]] = []
    if "token" in one_of:
        for token in sorted(one_of["token"]):
            for row in how.by_token(tokens, token, tenants):
                rows.append((row, TokenReference(token) if token == _reference(row) else token))
    else:
        found: list[ApiToken] = []
        if "beta" in one_of:
            found = [row for beta in sorted(one_of["beta"]) for row in how.by_beta(tokens, beta)]
        elif "tenant_id" in one_of:
            found = [row for tenant in tenants for row in _of_tenant(tokens, tenant)]
        elif "dialog_id" in one_of:
            dialogs = all_known("dialog_id", one_of["dialog_id"])
            found = [row for id in dialogs for row in tokens.query(dialog_id=id, limit=validate.MAX_INTEGER)]
        else:
            raise NotImplementedError(
                "tokens are found by a tenant_id, a token, a beta or a dialog_id, of which one must be given"
            )
        rows = [(row, _reference(row)) for row in found]
    with_values = ((row, _values(current, row, token)) for row, token in rows)
    return [(row, values) for row, values in with_values if all(condition.holds(values) for condition in where)]


def _of_tenant(tokens: ApiTokenRepository, tenant_id: str) -> list[ApiToken]:
    return tokens.query(tenant_id=tenant_id, limit=validate.MAX_INTEGER)


def _reference(row: ApiToken) -> TokenReference:
    """Return what stands for a secret, of letters that an address takes as they are."""
    return TokenReference(f"hidden-{re.sub('[^0-9A-Za-z]', '', row.hint)}-{row.id}")


_REFERENCE = re.compile(r"hidden-[0-9A-Za-z]{0,4}-\d+", re.ASCII)


def _values(current: Settings, row: ApiToken, token: str) -> Values:
    changeable = {name: getattr(row, name) for name in _CHANGES}
    return Values(
        {**current.stamps(row), "tenant_id": row.tenant_id, "token": token, **changeable},
        Origin(row.tenant_id, row.id, read=changeable),
    )


def _is_live(row: ApiToken, now: datetime) -> bool:
    return row.revoke_date is None and (row.expire_date is None or row.expire_date > now)


def _checked(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a token to store."""
    values = validate.keys(name, given, (*_NEW, *_STAMPS), quote=False)
    for needed in ("tenant_id", "token"):
        if values.get(needed) is None:
            raise InvalidArgument(f"{name} must have a {needed}")
    empty = {key: values.get(key) or None for key in _CHANGES}
    return {"tenant_id": values["tenant_id"], "token": values["token"], **empty}


def _with_its_dialog(current: Settings, values: Mapping[str, Any]) -> None:
    """Create the dialog that a token is bound to, where it is not there yet."""
    if values["dialog_id"] is not None:
        current.tenant_of(values["dialog_id"], validate.identifier("tenant_id", values["tenant_id"]))


def _no_id(method: str) -> NotImplementedError:
    return NotImplementedError(
        f"APITokenService.{method}: a token has no id there; use query, filter_update and filter_delete with"
        " APIToken.tenant_id and APIToken.token, or store.tokens, whose tokens have ids"
    )
