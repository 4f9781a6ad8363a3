"""The calls of tokens that take more than one statement: issue and rotate, which may be repeated, and authenticate."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from conversation_store._sql_loader import load
from conversation_store._statement import Statement, limited, optional, then
from conversation_store._token_secrets import Secret
from conversation_store.errors import AlreadyExists, DialogNotFound, TokenNotFound
from conversation_store.models import ApiToken, Dialog, FoundToken, IssuedToken

_GET_DIALOG = load("dialog.get_by_id")
_QUERY = load("api_token.query")
_STAMP_USE = load("api_token.stamp_use")


def issue(
    tenant_id: str, secret: Secret, save: Statement[ApiToken | None]
) -> Generator[Statement[Any], Any, IssuedToken]:
    """Store a new secret, or find the token that the same call has stored before."""
    token: ApiToken | None = yield save
    if token is None:
        # The secret is stored already: by this very call, whose answer was lost, or by another one.
        asked = (None, save.params["dialog_id"], save.params["source"])
        same: ApiToken | None = yield _with_secret(tenant_id, secret)
        if same is None or (same.predecessor_id, same.dialog_id, same.source) != asked:
            raise (yield from _not_stored(save))
        token = same
    return IssuedToken(token, secret.text)


def store(save: Statement[ApiToken | None]) -> Generator[Statement[Any], Any, ApiToken]:
    """Store a secret."""
    token: ApiToken | None = yield save
    if token is None:
        raise (yield from _not_stored(save))
    return token


def change(update: Statement[int], dialog_id: object) -> Generator[Statement[Any], Any, int]:
    """Change a token, to which a dialog may be given."""
    changed: int = yield update
    if not changed:
        yield from _check_dialog(update.params["tenant_id"], dialog_id)
    return changed


def rotate(
    one: Mapping[str, object], secret: Secret, rotate: Statement[ApiToken | None]
) -> Generator[Statement[Any], Any, IssuedToken]:
    """Issue the successor of one token, or find the one that the same call has issued before."""
    # Twice: a token that is moved to another dialog at the same moment gives no row.
    for _ in range(2):
        token: ApiToken | None = yield rotate
        if token is None:
            # It was rotated already: by this very call, whose answer was lost, or by another one.
            token = yield _with_secret(one["tenant_id"], secret)
        if token is not None and token.predecessor_id == one["id"]:
            return IssuedToken(token, secret.text)
    raise _not_found(one["id"])


def find_and_stamp(
    find: Statement[FoundToken | None], stamp_every: float
) -> Generator[Statement[Any], Any, ApiToken | None]:
    """Find a token, and stamp its use where that is due."""
    found: FoundToken | None = yield find
    if found is None:
        return None
    token, stamped = found.token, None
    if found.stamp_due:
        stamped = yield optional(_STAMP_USE, ApiToken, id=token.id, tenant_id=token.tenant_id, stamp_every=stamp_every)
    return stamped or token


def found(id: object, token: ApiToken | None) -> ApiToken:
    """Return the token that was found; none is `TokenNotFound`."""
    if token is None:
        raise _not_found(id)
    return token


def _not_stored(save: Statement[ApiToken | None]) -> Generator[Statement[Any], Any, AlreadyExists]:
    """Return why a secret was not stored; raises `DialogNotFound`."""
    yield from _check_dialog(save.params["tenant_id"], save.params["dialog_id"])
    return AlreadyExists("this token is stored already")


def _check_dialog(tenant_id: object, dialog_id: object) -> Generator[Statement[Any], Any, None]:
    """Raise `DialogNotFound` where a tenant does not have a dialog; None is no dialog."""
    if dialog_id is None:
        return
    if (yield optional(_GET_DIALOG, Dialog, id=dialog_id, tenant_id=tenant_id)) is None:
        raise DialogNotFound(f"the tenant has no dialog with this dialog_id: {dialog_id!r}")


def _not_found(id: object) -> TokenNotFound:
    return TokenNotFound(f"the tenant has no live token {id}, or it was rotated already")


def _with_secret(tenant_id: object, secret: Secret) -> Statement[ApiToken | None]:
    """Describe how a tenant's token is looked for by its secret."""
    statement = limited(_QUERY, ApiToken, 1, tenant_id=tenant_id, token_digest=secret.digest, dialog_id=None, beta=None)
    return then(statement, lambda rows: next(iter(rows), None))
