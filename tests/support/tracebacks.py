"""What a report of an error may show."""

from __future__ import annotations

import traceback
from pathlib import Path

TESTS = str(Path(__file__).parents[1])


def everything(error: BaseException) -> str:
    """Return what a report may show: the whole chain, with the local variables of all frames but those of the tests."""
    shown: list[str] = []

    def add(part: traceback.TracebackException | None) -> None:
        if part is None:
            return
        shown.extend(part.format_exception_only())
        shown.extend(
            f"{frame.name} {frame.locals}\n" for frame in part.stack if not frame.filename.startswith(f"{TESTS}/")
        )
        add(part.__cause__)
        add(part.__context__)

    add(traceback.TracebackException.from_exception(error, capture_locals=True))
    return "".join(shown)
