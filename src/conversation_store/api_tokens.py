"""API tokens: issued or adopted once, kept as a digest, authenticated by the secret, rotated, expired and revoked."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

from conversation_store import _batches as batches
from conversation_store import _dates as dates
from conversation_store import _tenancy as tenancy
from conversation_store import _token_secrets as token_secrets
from conversation_store import _token_steps as steps
from conversation_store import _validation as validate
from conversation_store._dates import Moment
from conversation_store._operations import AsyncRepository, Methods, Repository, operation
from conversation_store._sql_loader import Query, load
from conversation_store._statement import Described, Statement, Steps, count, limited, optional, then
from conversation_store._token_secrets import Secret
from conversation_store._validation import Id
from conversation_store.errors import InvalidArgument
from conversation_store.models import ApiToken, FoundToken, IssuedToken, LimitedList

_SAVE = load("api_token.save")
_ROTATE = load("api_token.rotate")
_AUTHENTICATE = load("api_token.authenticate")
_AUTHENTICATE_BETA = load("api_token.authenticate_beta")
_USED = load("api_token.used")
_QUERY = load("api_token.query")
_UPDATE_BY_ID = load("api_token.update_by_id")
_FILL_BETA = load("api_token.fill_beta")
_EXPIRE = load("api_token.expire")
_REVOKE = load("api_token.revoke")
_DELETE = load("api_token.delete")
_DELETE_BY_ID = load("api_token.delete_by_id")
_DELETE_BY_TENANT_ID = load("api_token.delete_by_tenant_id")

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


def _optional_beta(name: str, value: object) -> str | None:
    if value is None:
        return None
    beta = validate.text(name, value, maximum=validate.MAX_BETA)
    if not beta.strip():
        raise InvalidArgument(f"{name} must be None or not be blank")
    return beta


# How each field that may be changed is checked, and so which there are.
_CHANGES: Mapping[str, Callable[[str, object], object]] = {
    "dialog_id": lambda name, value: None if value is None else validate.identifier(name, value),
    "source": lambda name, value: validate.optional_text(name, value, maximum=validate.MAX_SOURCE),
    "beta": _optional_beta,
}


class _ApiTokens(Methods):
    """The methods of both repositories."""

    @operation
    def issue(
        self,
        *,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
        source: str | None = None,
        expire_date: Moment | None = None,
        token: str | None = None,
    ) -> Steps[IssuedToken]:
        """Issue a new token to a tenant, for one dialog or for all.

        It authenticates until *expire_date*, or for ever; a date is its first instant, and in UTC without an offset.
        `.token` of the result is the plain secret and exists nowhere else. *token* is the secret, where `new_token()`
        made it before: repeated with it, also after a lost answer, the call returns the same token, whatever its
        *expire_date*. Raises `DialogNotFound` when the tenant has no such dialog, and `AlreadyExists` when the secret
        is that of another tenant, dialog or source, or of a rotation.
        SQL: `sql/api_token/save.sql`, `sql/api_token/query.sql`, `sql/dialog/get_by_id.sql`.
        """
        secret = token_secrets.new_or(token)
        owner = tenancy.needed(self._bound, tenant_id)
        return Steps(steps.issue(owner, secret, _save(owner, secret, dialog_id, source, None, expire_date)))

    @operation
    def save(
        self,
        *,
        tenant_id: Id | None = None,
        token: str,
        dialog_id: Id | None = None,
        source: str | None = None,
        beta: str | None = None,
        expire_date: Moment | None = None,
        create_date: Moment | None = None,
        update_date: Moment | None = None,
        allow_weak: bool = False,
    ) -> Steps[ApiToken]:
        """Store a secret by its digest: one that was issued elsewhere.

        - *token*: the secret, of at least 16 characters unless *allow_weak*: whoever guesses it is the tenant
        - *dialog_id*: the only dialog that it is for; None is all
        - *beta*: the public key of embedded chat pages, unique over all tenants
        - *expire_date*, *create_date*, *update_date*: as for `issue`

        Raises `AlreadyExists` when the token or the beta is stored already, under whatever tenant, and `DialogNotFound`
        when the tenant has no such dialog. SQL: `sql/api_token/save.sql`, `sql/dialog/get_by_id.sql`.
        """
        secret = token_secrets.existing(token, allow_weak=validate.boolean("allow_weak", allow_weak))
        owner = tenancy.needed(self._bound, tenant_id)
        save = _save(owner, secret, dialog_id, source, beta, expire_date, create_date, update_date)
        return Steps(steps.store(save))

    @operation
    def authenticate(self, token: str, *, stamp_every: timedelta = _MINUTE) -> Steps[ApiToken | None]:
        """Return the live token with this secret and stamp its use, or None when there is none.

        *token* may be any text. A use is stamped unless one was less than *stamp_every* ago, so that many requests with
        one token do not wait for each other. No use is stamped on a standby, in a read-only transaction, and in a
        repeatable read or serializable one. Authenticate outside of other transactions: there a stamp makes a change
        of the token or a deletion of its dialog wait until the end.
        SQL: `sql/api_token/authenticate.sql`, `sql/api_token/stamp_use.sql`.
        """
        return self._found_and_stamped(_AUTHENTICATE, stamp_every, token_digest=token_secrets.digest(token))

    @operation
    def authenticate_beta(self, beta: str, *, stamp_every: timedelta = _MINUTE) -> Steps[ApiToken | None]:
        """Return the live token with this beta and stamp its use, or None when there is none.

        For embedded pages, whose key is public: the caller decides what it allows. *beta* may be any text. A use is
        stamped as in `authenticate`. SQL: `sql/api_token/authenticate_beta.sql`, `sql/api_token/stamp_use.sql`.
        """
        return self._found_and_stamped(_AUTHENTICATE_BETA, stamp_every, beta=token_secrets.sought(beta))

    @operation
    def used(self, token: str) -> Statement[int]:
        """Stamp the use of the live token with this secret, and return how many tokens were stamped: 1 or 0.

        SQL: `sql/api_token/used.sql`.
        """
        return count(_USED, token_digest=token_secrets.digest(token), tenant_id=self._bound)

    @operation
    def query(
        self,
        *,
        tenant_id: Id | None = None,
        dialog_id: Id | None = None,
        token: str | None = None,
        beta: str | None = None,
        limit: int = 1_000,
    ) -> Described[LimitedList[ApiToken]]:
        """Return the tokens of a tenant, of a dialog, with a secret or with a beta, newest first.

        At least one of the four must be given, and a token must match all that are given. Expired and revoked tokens
        are in the list too. No use is stamped. At most *limit* are returned; `has_more` of the list says whether there
        are more. A dialog needs a tenant; without one, the one that has the dialog is found first, and raises
        `AmbiguousId` when two have it. SQL: `sql/api_token/query.sql`.
        """
        tenant = tenancy.known(self._bound, tenant_id)
        if tenant is None and dialog_id is None and token is None and beta is None:
            raise InvalidArgument("one of tenant_id, dialog_id, token and beta must be given")
        dialog = validate.optional_filter("dialog_id", dialog_id)
        number = validate.integer("limit", limit, minimum=0)
        filters: dict[str, object] = {
            "dialog_id": dialog,
            "token_digest": None if token is None else token_secrets.digest(token),
            "beta": None if beta is None else token_secrets.sought(beta),
        }
        if dialog is None:
            return limited(_QUERY, ApiToken, number, tenant_id=tenant, **filters)
        return tenancy.for_one(
            tenant,
            tenancy.FIND_DIALOG,
            dialog,
            lambda owner: limited(_QUERY, ApiToken, number, tenant_id=owner, **filters),
        )

    @operation
    def update_by_id(self, id: int, token: Mapping[str, object], *, tenant_id: Id | None = None) -> Steps[int]:
        """Change the given fields of a tenant's token: `dialog_id`, `source` and `beta`; return 1 or 0.

        Raises `AlreadyExists` when the beta is in use, and `DialogNotFound` when the tenant has no such dialog; other
        keys raise `InvalidArgument`. SQL: `sql/api_token/update_by_id.sql`, `sql/dialog/get_by_id.sql`.
        """
        changes = checked_changes(token)
        one = self._one_of(tenant_id, id)
        update = count(_UPDATE_BY_ID, **one, changes=json.dumps(changes, ensure_ascii=False))
        return Steps(steps.change(update, changes.get("dialog_id")))

    @operation
    def fill_beta(self, id: int, *, tenant_id: Id | None = None) -> Statement[ApiToken]:
        """Give a tenant's live token a random beta unless it has one, and return the token.

        Any number of callers at once get the same beta. Raises `TokenNotFound`, also when the token was rotated: the
        beta is with its successor. SQL: `sql/api_token/fill_beta.sql`.
        """
        statement = optional(_FILL_BETA, ApiToken, **self._one_of(tenant_id, id), beta=secrets.token_urlsafe(24))
        return then(statement, partial(steps.found, id))

    @operation
    def rotate(
        self,
        id: int,
        *,
        tenant_id: Id | None = None,
        grace: timedelta = _DAY,
        expire_date: Moment | None = None,
        token: str | None = None,
    ) -> Steps[IssuedToken]:
        """Issue a successor to a tenant's live token, and let the old one expire after a grace period.

        Until then both authenticate. The successor has the same dialog and source, takes over the beta, and expires at
        *expire_date*, by default when the old one was to; `.token` is its plain secret. A token is rotated once, and
        *token* is as for `issue`: repeated with the same secret, the call returns the same successor. Raises
        `TokenNotFound` when the tenant has no such live token, or it was rotated already with another secret, and
        `AlreadyExists` when the secret is another token's.
        SQL: `sql/api_token/rotate.sql`, `sql/api_token/query.sql`.
        """
        secret = token_secrets.new_or(token)
        one = self._one_of(tenant_id, id)
        statement = optional(
            _ROTATE,
            ApiToken,
            **one,
            token_digest=secret.digest,
            hint=secret.hint,
            grace=validate.seconds("grace", grace),
            expire_date=dates.optional_date("expire_date", expire_date),
        )
        return Steps(steps.rotate(one, secret, statement))

    @operation
    def expire(self, id: int, *, tenant_id: Id | None = None, expire_date: Moment | None) -> Statement[int]:
        """Set when a tenant's live token expires; return 1, or 0 when there is none.

        *expire_date* is as for `issue`; None is never. A token that has expired stays so, and one
        that was rotated lives no longer than its grace period.
        SQL: `sql/api_token/expire.sql`.
        """
        until = dates.optional_date("expire_date", expire_date)
        return count(_EXPIRE, **self._one_of(tenant_id, id), expire_date=until)

    @operation
    def revoke(self, id: int, *, tenant_id: Id | None = None) -> Statement[int]:
        """Revoke a tenant's token for good; return 1, or 0 when there is none or it was revoked before.

        It stays in lists; `delete_by_id` removes it. SQL: `sql/api_token/revoke.sql`.
        """
        return count(_REVOKE, **self._one_of(tenant_id, id))

    @operation
    def delete(self, *, tenant_id: Id | None = None, token: str) -> Statement[int]:
        """Delete a tenant's token by its secret; return 1, or 0 when the tenant has none such.

        SQL: `sql/api_token/delete.sql`.
        """
        return count(
            _DELETE, tenant_id=tenancy.needed(self._bound, tenant_id), token_digest=token_secrets.digest(token)
        )

    @operation
    def delete_by_id(self, id: int, *, tenant_id: Id | None = None) -> Statement[int]:
        """Delete a tenant's token by its id, as a list shows it; return 1, or 0 when the tenant has none such.

        SQL: `sql/api_token/delete_by_id.sql`.
        """
        return count(_DELETE_BY_ID, **self._one_of(tenant_id, id))

    @operation
    def delete_by_tenant_id(self, tenant_id: Id | None = None) -> Steps[int]:
        """Delete every token of a tenant, and return how many there were.

        The statement is run until it deletes none: a successor that is issued at the same moment goes too.
        SQL: `sql/api_token/delete_by_tenant_id.sql`.
        """
        tenant = tenancy.needed(self._bound, tenant_id)
        return Steps(batches.delete_until_none(_DELETE_BY_TENANT_ID, tenant_id=tenant))

    def _found_and_stamped(self, query: Query, stamp_every: timedelta, **key: object) -> Steps[ApiToken | None]:
        """Describe how a token is looked for by its key, and its use is stamped where that is due."""
        seconds = 60.0 if stamp_every is _MINUTE else validate.seconds("stamp_every", stamp_every)
        find = optional(query, FoundToken.of_columns, **key, tenant_id=self._bound, stamp_every=seconds)
        return Steps(steps.find_and_stamp(find, seconds))

    def _one_of(self, tenant_id: object, id: object) -> dict[str, object]:
        """Return the parameters that name one token of one tenant."""
        return {
            "tenant_id": tenancy.needed(self._bound, tenant_id),
            "id": validate.integer("id", id, minimum=0, maximum=validate.MAX_BIGINT),
        }


class ApiTokenRepository(_ApiTokens, Repository):
    """API tokens, sync."""


class AsyncApiTokenRepository(_ApiTokens, AsyncRepository):
    """API tokens, on asyncio."""


def checked_changes(token: object) -> dict[str, object]:
    """Return the fields of a token that may be changed; raises `InvalidArgument` or `InvalidArgumentType`."""
    given = validate.changes("token", token, tuple(_CHANGES), quote=False)  # a key may be a secret
    return {key: _CHANGES[key](f"token[{key!r}]", value) for key, value in given.items()}


def _save(
    tenant_id: str,
    secret: Secret,
    dialog_id: Id | None,
    source: str | None,
    beta: str | None,
    expire_date: Moment | None,
    create_date: Moment | None = None,
    update_date: Moment | None = None,
) -> Statement[ApiToken | None]:
    return optional(
        _SAVE,
        ApiToken,
        tenant_id=tenant_id,
        token_digest=secret.digest,
        hint=secret.hint,
        **{
            key: _CHANGES[key](key, value)
            for key, value in (("dialog_id", dialog_id), ("source", source), ("beta", beta))
        },
        expire_date=dates.optional_date("expire_date", expire_date),
        create_date=dates.optional_date("create_date", create_date),
        update_date=dates.optional_date("update_date", update_date),
    )
