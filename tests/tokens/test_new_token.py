"""`new_token`: the form of a new secret, by which a scanner finds a leaked one, as SECURITY.md states it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from conversation_store import new_token
from support.tokens import checksum

SECURITY = (Path(__file__).parents[2] / "SECURITY.md").read_text()
(FORM,) = re.findall(r"^    (cstk_\S+)$", SECURITY, re.MULTILINE)


def test_a_new_token_has_the_form_and_the_checksum_that_are_stated() -> None:
    for _ in range(100):
        token = new_token()
        assert re.fullmatch(FORM, token)
        assert token[-6:] == checksum(token[:-6])


def test_new_tokens_differ_in_all_of_their_random_characters() -> None:
    tokens = [new_token() for _ in range(1_000)]
    # The first of the 43 characters stands for less than 6 bits.
    assert all(len({token[place] for token in tokens}) > 40 for place in range(6, 48))
    assert len(set(tokens)) == 1_000


def test_issue_and_rotate_make_secrets_of_this_form(store: Any, tenant: str) -> None:
    issued = store.tokens.issue(tenant_id=tenant)
    rotated = store.tokens.rotate(issued.id, tenant_id=tenant)
    for token in (issued.token, rotated.token):
        assert re.fullmatch(FORM, token)
        assert token[-6:] == checksum(token[:-6])
