"""Checks of what is stored: tokens and dialogs that nobody may need."""

from __future__ import annotations

from collections.abc import Iterator

from conversation_store.dba.doctor.patient import Finding, Patient

DAYS = 30
AT_MOST = 100_000
"""How many rows are looked at: a table of any size is read within a moment."""


def check_tokens(patient: Patient) -> Iterator[Finding]:
    """Look for live tokens that never expire, or that nobody has used for a month since they were issued."""
    row = patient.read_one("tokens", days=DAYS, at_most=AT_MOST)
    of = f"of {_number(row.live)} live tokens"
    if row.lasting:
        yield Finding(
            "advice",
            f"{row.lasting:,} {of} never expire, such as those with the ids {_list(row.lasting_ids)}",
            "issue tokens that expire, and let those that there are expire: store.tokens.expire"
            " (sql/api_token/expire.sql)",
        )
    if row.unused:
        yield Finding(
            "advice",
            f"{row.unused:,} {of} were never used in {DAYS} days or more, such as those with the ids"
            f" {_list(row.unused_ids)}",
            "revoke those that nobody needs: store.tokens.revoke (sql/api_token/revoke.sql)",
        )
    if not row.lasting and not row.unused:
        yield Finding("ok", f"none {of} lasts for ever, or was unused for {DAYS} days")


def check_dialogs(patient: Patient) -> Iterator[Finding]:
    """Look for dialogs of a month or more that have no conversation."""
    row = patient.read_one("dialogs", days=DAYS, at_most=AT_MOST)
    of = f"of {_number(row.old)} dialogs that are {DAYS} days old or older"
    if not row.without:
        yield Finding("ok", f"none {of} is without conversations")
        return
    yield Finding(
        "advice",
        f"{row.without:,} {of} have no conversation, such as (tenant: id) {_list(row.examples)}",
        "delete those that nobody needs: store.dialogs.delete_by_id, which deletes their tokens too",
    )


def _number(count: int) -> str:
    return f"{count:,}" if count < AT_MOST else f"the first {count:,}"


def _list(values: list[object]) -> str:
    return ", ".join(map(str, values))
