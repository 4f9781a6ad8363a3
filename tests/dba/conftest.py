"""What the tests of the review page share."""

from __future__ import annotations

import pytest

from conversation_store.dba.review import review


@pytest.fixture(scope="session")
def review_page(db: str) -> str:
    """Give the page of our own statements, with all of their plans."""
    return review(db)
