"""API tokens: kept as a digest, recognised by a hint, known in plain only to whoever holds them."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, fields
from datetime import datetime

from conversation_store import _arguments as check
from conversation_store._query import load
from conversation_store._statement import (
    AsyncRepository,
    Repository,
    Statement,
    count,
    many,
    one,
    operation,
    optional,
    then,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A tenant's token, without its secret. Dates are aware, in UTC; `update_date` is that of the last use.

    `hint` is the end of the secret, for people to recognise it by. `beta` is the public key of embedded chat pages.
    """

    id: int
    tenant_id: str
    hint: str
    dialog_id: str | None
    source: str | None
    beta: str | None = field(repr=False)
    create_date: datetime
    update_date: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken(ApiToken):
    """A token just issued: `token` is the plain secret, which cannot be read again."""

    token: str = field(repr=False)


_SAVE = load("api_token.save")
_AUTHENTICATE = load("api_token.authenticate")
_USED = load("api_token.used")
_QUERY = load("api_token.query")
_DELETE_BY_TENANT_ID = load("api_token.delete_by_tenant_id")


class _ApiTokens:
    """The one body behind ApiTokenRepository and AsyncApiTokenRepository."""

    @operation
    def issue(
        self, *, tenant_id: str | int, dialog_id: str | int | None = None, source: str | None = None
    ) -> Statement[IssuedToken]:
        """Issue a new token to a tenant, for one dialog or for all.

        `.token` of the result is the plain secret and exists nowhere else. Raises `DialogNotFound` when the tenant has
        no such dialog. SQL: `sql/api_token/save.sql`.
        """
        token = "cs-" + secrets.token_urlsafe(32)

        def issued(row: ApiToken) -> IssuedToken:
            return IssuedToken(**{f.name: getattr(row, f.name) for f in fields(row)}, token=token)

        return then(_save(tenant_id, token, dialog_id, source, None), issued)

    @operation
    def save(
        self,
        *,
        tenant_id: str | int,
        token: str,
        dialog_id: str | int | None = None,
        source: str | None = None,
        beta: str | None = None,
    ) -> Statement[ApiToken]:
        """Adopt a secret that was issued elsewhere; its digest is stored.

        *beta* is the public key of embedded chat pages, unique over all tenants. Raises `AlreadyExists` when the token
        or the beta is stored already, under whatever tenant, and `DialogNotFound` when the tenant has no such dialog.
        SQL: `sql/api_token/save.sql`.
        """
        return _save(tenant_id, token, dialog_id, source, beta)

    @operation
    def authenticate(self, token: str) -> Statement[ApiToken | None]:
        """Return the token with this secret and stamp its use, or None when there is none.

        Any text may be asked for. SQL: `sql/api_token/authenticate.sql`.
        """
        return optional(_AUTHENTICATE, ApiToken, token_digest=_digest(token))

    @operation
    def used(self, token: str) -> Statement[int]:
        """Stamp the use of the token with this secret, and return how many tokens were stamped: 1 or 0.

        SQL: `sql/api_token/used.sql`.
        """
        return count(_USED, token_digest=_digest(token))

    @operation
    def query(self, *, tenant_id: str | int, limit: int = 1_000) -> Statement[list[ApiToken]]:
        """Return a tenant's tokens, newest first, *limit* at the most; their secrets are known to nobody here.

        SQL: `sql/api_token/query.sql`.
        """
        return many(
            _QUERY,
            ApiToken,
            tenant_id=check.identifier("tenant_id", tenant_id),
            limit=check.integer("limit", limit, minimum=0),
        )

    @operation
    def delete_by_tenant_id(self, tenant_id: str | int) -> Statement[int]:
        """Delete every token of a tenant, and return how many there were.

        SQL: `sql/api_token/delete_by_tenant_id.sql`.
        """
        return count(_DELETE_BY_TENANT_ID, tenant_id=check.identifier("tenant_id", tenant_id))


class ApiTokenRepository(_ApiTokens, Repository):
    """API tokens, blocking."""


class AsyncApiTokenRepository(_ApiTokens, AsyncRepository):
    """API tokens, on asyncio."""


def _save(
    tenant_id: str | int, token: object, dialog_id: str | int | None, source: str | None, beta: str | None
) -> Statement[ApiToken]:
    if not isinstance(token, str) or not token.strip():
        raise _not_a_token(token)
    if beta is not None and not check.text("beta", beta, maximum=check.MAX_BETA).strip():
        raise ValueError("beta must be None or not be blank")
    return one(
        _SAVE,
        ApiToken,
        tenant_id=check.identifier("tenant_id", tenant_id),
        token_digest=_digest(token),
        hint=_hint(token),
        dialog_id=None if dialog_id is None else check.identifier("dialog_id", dialog_id),
        source=check.optional_text("source", source, maximum=check.MAX_SOURCE),
        beta=beta,
    )


def _digest(token: object) -> bytes:
    if not isinstance(token, str):
        raise _not_a_token(token)
    # surrogatepass: text that nobody could have stored is an unknown token, and no error that quotes it.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _hint(token: str) -> str:
    """Return the last four characters, where enough others stay unknown."""
    return "…" + (token[-4:] if len(token) >= 20 and token[-4:].isprintable() else "")


def _not_a_token(token: object) -> Exception:
    # Says what is wrong with a token, and never the token.
    if isinstance(token, str):
        return ValueError("token must not be blank")
    return TypeError(f"token must be a str, not {type(token).__name__}")
