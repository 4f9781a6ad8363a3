"""Import of API tokens. Their secrets are plain there, and stand in no report."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from conversation_store import _token_secrets as token_secrets
from conversation_store import _validation as validate
from conversation_store.api_tokens import checked_changes
from conversation_store.errors import InvalidArgument
from conversation_store.models import ApiToken
from conversation_store.ragflow._run import ChangedMeanwhile, Row, Run, fits
from conversation_store.ragflow._source_rows import SourceToken
from conversation_store.ragflow._stored import reimport_token


def import_tokens(run: Run, table: str) -> Generator[Any, Any, None]:
    """Import the table, a page at a time and a token at a time."""
    after: dict[str, str | None] = dict.fromkeys(("after_position", "after_tenant_id", "after_token"))
    checked = _Checked()
    while page := (yield run.source.read("api_tokens", SourceToken, **after, limit=run.limit)):
        last = page[-1]
        after = {"after_position": last.position, "after_tenant_id": last.tenant_id, "after_token": last.token}
        for row in page:
            yield from _token(run, table, row, checked)
        run.reporter.progress(table, len(page), run.estimates)


class _Checked:
    """The tokens that a check has found good, and that an import would have stored: by digests, as in the store."""

    def __init__(self) -> None:
        self.tenants: dict[bytes, str] = {}
        self._betas: dict[bytes, bool] = {}

    def has_beta(self, beta: str) -> bool | None:
        """Return whether one of them has a beta: False where one would have given it up, None where it is unknown."""
        return self._betas.get(token_secrets.digest(beta))

    def add(self, row: SourceToken, before: str | None, beta: str | None) -> None:
        """Remember a token, and the beta that it had."""
        self.tenants[token_secrets.digest(row.token)] = row.tenant_id
        for text, is_used in ((before, False), (beta, True)):
            if text is not None:
                self._betas[token_secrets.digest(text)] = is_used


def _token(run: Run, table: str, row: SourceToken, checked: _Checked) -> Generator[Any, Any, None]:
    id = f"{row.tenant_id} {token_secrets.hint_of(row.token)}"
    values: dict[str, Any] = {
        "dialog_id": row.dialog_id or None,
        "source": row.source,
        "beta": row.beta if row.beta and row.beta.strip() and validate.unstorable(row.beta) is None else None,
    }
    if (problem := _problem(row, values)) is not None:
        run.reporter.rejected(table, id, problem)
        return
    here: ApiToken | None = next(iter((yield run.store.tokens.query(token=row.token))), None)
    owner = checked.tenants.get(token_secrets.digest(row.token)) if here is None else here.tenant_id
    if owner not in (None, row.tenant_id):
        run.reporter.rejected(table, id, "the same token is another tenant's already")
    elif here is None and owner is not None:
        run.reporter.skipped(table, newer=False)
    elif here is None:
        new = run.dated(id, row, values | {"tenant_id": row.tenant_id, "token": row.token})
        yield from _write(run, table, new, row, None, checked)
    elif any(getattr(here, field) != value for field, value in values.items()):
        yield from _again(run, table, Row(id, values), row, here, checked)
    else:
        run.reporter.skipped(table, newer=False)


def _problem(row: SourceToken, values: dict[str, Any]) -> str | None:
    """Return why the store cannot hold a token."""
    try:
        validate.text("token", row.token)
        if not row.token.strip():
            raise InvalidArgument("token must not be blank")
        validate.identifier("tenant_id", row.tenant_id)
        checked_changes(values | {"dialog_id": None})  # one that the store cannot have is missing
    except (ValueError, TypeError) as error:
        return str(error)
    return None


def _again(
    run: Run, table: str, changed: Row, row: SourceToken, here: ApiToken, checked: _Checked
) -> Generator[Any, Any, None]:
    """Take a token again that differs there, if it was changed there later than here."""
    is_newer = run.is_newer(row, here.update_date)
    # A use of the token hides when it was changed here.
    is_hidden = not is_newer and here.update_date == here.use_date and run.is_newer(row, here.create_date)
    differing = [field for field, value in changed.values.items() if getattr(here, field) != value]
    beta = changed.values["beta"]
    if is_hidden and differing == ["beta"] and beta is not None and (yield from _is_used(run, beta, checked)):
        is_hidden = False  # its beta was left out, as it would be again
    if not run.update or not (is_newer or is_hidden):
        run.reporter.skipped(table, newer=is_newer or is_hidden)
    elif is_hidden:
        run.reporter.kept(table, changed.id, "it differs there, and was used here since: which is newer is not known")
    else:
        yield from _write(run, table, changed, row, here, checked)


def _write(
    run: Run, table: str, new: Row, row: SourceToken, here: ApiToken | None, checked: _Checked
) -> Generator[Any, Any, None]:
    dialog_id, beta = new.values["dialog_id"], new.values["beta"]
    if dialog_id is not None and run.tenants.get(dialog_id) != row.tenant_id:
        # Without its dialog it would open all of the tenant's.
        is_here = fits(dialog_id) and (yield run.store.dialogs.get_by_id(dialog_id, tenant_id=row.tenant_id))
        if not is_here:
            run.reporter.rejected(table, new.id, f"the tenant has no dialog {dialog_id!r}, which the token needs")
            return
    before = None if here is None else here.beta
    if row.beta and beta is None:
        new.repairs.append(f"its beta {'has U+0000' if row.beta.strip() else 'is blank'} and was left out")
    elif beta is not None and beta != before and (yield from _is_used(run, beta, checked)):
        new.values["beta"] = before
        new.repairs.append("its beta is another token's already and was left out")

    def write(tx: Any, rows: list[Row]) -> Generator[Any, Any, None]:
        for one in rows:
            if here is None:
                yield tx.tokens.save(**one.values, allow_weak=True)
            elif not (yield reimport_token(tx, here, one.values, run.changed(row) or here.update_date)):
                raise ChangedMeanwhile

    def is_there(_: Row) -> Generator[Any, Any, bool]:
        found: list[ApiToken] = yield run.store.tokens.query(token=row.token)
        return [token.tenant_id for token in found] == [row.tenant_id]

    stored = yield from run.write(table, [new], write, None if here is not None else is_there, again=here is not None)
    if run.check and stored:
        checked.add(row, before, new.values["beta"])


def _is_used(run: Run, beta: str, checked: _Checked) -> Generator[Any, Any, bool]:
    """Return whether another token has a beta, which this one has not."""
    is_used = checked.has_beta(beta)
    if is_used is None:
        is_used = bool((yield run.store.tokens.query(beta=beta)))
    return is_used
