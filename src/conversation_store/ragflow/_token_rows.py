"""The table of API tokens, under its name in RAGFlow: how tokens are found and what they are there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, ClassVar, NoReturn, overload

from conversation_store import _validation as validate
from conversation_store.api_tokens import ApiTokenRepository
from conversation_store.errors import TokenNotFound
from conversation_store.models import ApiToken
from conversation_store.ragflow._conditions import Condition, check_table, narrowed
from conversation_store.ragflow._fields import TextField, all_known
from conversation_store.ragflow._rows import Origin, Row, Values
from conversation_store.ragflow._settings import Settings

CHANGES = ("dialog_id", "source", "beta")


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

    def _refused(self, *values: Any) -> NoReturn:
        del values
        raise NotImplementedError("the secret of a token is not stored: a condition on it is APIToken.token == secret")

    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = between = contains = _refused  # type: ignore[assignment]


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
    def find_values(cls, current: Settings, where: Sequence[Condition], names: Sequence[str] = ()) -> Iterable[Values]:
        """Return the values of the live tokens for which all conditions hold; finding one by secret or beta uses it.

        SQL: `sql/api_token/authenticate.sql`, `sql/api_token/authenticate_beta.sql`, `sql/api_token/query.sql`.
        """
        now = datetime.now(UTC)
        return [values for row, values in found_tokens(current, where, LiveToken()) if _is_live(row, now)]


class LiveToken:
    """How `query` finds tokens: a secret or a beta authenticates."""

    def by_token(self, tokens: ApiTokenRepository, token: str, tenants: Iterable[str]) -> list[ApiToken]:
        found = tokens.authenticate(token)
        return [] if found is None else [found]

    def by_beta(self, tokens: ApiTokenRepository, beta: str) -> list[ApiToken]:
        found = tokens.authenticate_beta(beta)
        return [] if found is None else [found]


class AnyToken:
    """How changes find tokens: expired and revoked ones too, and by a reference where the tenant is known."""

    def by_token(self, tokens: ApiTokenRepository, token: str, tenants: Iterable[str]) -> list[ApiToken]:
        found = list(tokens.query(token=token))
        if REFERENCE.fullmatch(token):
            if not tenants and not found:
                raise NotImplementedError(
                    "what stands for a secret in a list names a token beside APIToken.tenant_id == tenant_id alone"
                )
            # A secret of another tenant may be the same text.
            of_tenants = chain.from_iterable(_of_tenant(tokens, tenant) for tenant in tenants)
            found += [row for row in of_tenants if reference_of(row) == token]
        return found

    def by_beta(self, tokens: ApiTokenRepository, beta: str) -> list[ApiToken]:
        return tokens.query(beta=beta)


def found_tokens(
    current: Settings, where: Sequence[Condition], how: LiveToken | AnyToken
) -> list[tuple[ApiToken, Values]]:
    """Return the tokens for which all conditions hold, each with its values."""
    check_table(APIToken, where)
    one_of = narrowed(where)
    if "token" not in one_of and any(name == "token" for condition in where for _, name in condition.columns):
        raise NotImplementedError(
            "the secret of a token is not stored: APIToken.token == secret must hold of every token, not of some with |"
        )
    tokens = current.store.tokens
    tenants = all_known("tenant_id", one_of.get("tenant_id", ()))
    rows: list[tuple[ApiToken, str]] = []
    if "token" in one_of:
        for token in sorted(one_of["token"]):
            for row in how.by_token(tokens, token, tenants):
                rows.append((row, TokenReference(token) if token == reference_of(row) else token))
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
        rows = [(row, reference_of(row)) for row in found]
    with_values = ((row, _values(current, row, token)) for row, token in rows)
    held = [(row, values) for row, values in with_values if all(condition.holds(values) for condition in where)]
    return list({row.id: (row, values) for row, values in held}.values())


def _of_tenant(tokens: ApiTokenRepository, tenant_id: str) -> list[ApiToken]:
    return tokens.query(tenant_id=tenant_id, limit=validate.MAX_INTEGER)


def reference_of(row: ApiToken) -> TokenReference:
    """Return what stands for a secret, of letters that an address takes as they are."""
    return TokenReference(f"hidden-{re.sub('[^0-9A-Za-z]', '', row.hint)}-{row.id}")


REFERENCE = re.compile(r"hidden-[0-9A-Za-z]{0,4}-\d+", re.ASCII)


def _values(current: Settings, row: ApiToken, token: str) -> Values:
    changeable = {name: getattr(row, name) for name in CHANGES}
    return Values(
        {**current.stamps(row), "tenant_id": row.tenant_id, "token": token, **changeable},
        Origin(row.tenant_id, row.id, read=changeable),
    )


def _is_live(row: ApiToken, now: datetime) -> bool:
    return row.revoke_date is None and (row.expire_date is None or row.expire_date > now)
