"""The benchmark at its smallest: every peer answers as the others do, and the report is whole. No time is asserted."""

from __future__ import annotations

import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks.data import LARGE, fill
from benchmarks.goals import Goal, goals, stand
from benchmarks.run import run
from benchmarks.runner import Case, Measured, Operation, Sample, check
from benchmarks.texts import Texts
from support.server import Server, database

pytestmark = pytest.mark.slow

# Everything that the rows of a database hold, but for the random ids of tokens.
CONTENT = """
SELECT md5(string_agg(t.row, E'\\n' ORDER BY t.row COLLATE "C")) FROM (
    SELECT c::text FROM conversation_store.conversation AS c
    UNION ALL SELECT m::text FROM conversation_store.conversation_message AS m
    UNION ALL SELECT r::text FROM conversation_store.conversation_reference AS r
    UNION ALL SELECT encode(a.token_digest, 'hex') FROM conversation_store.api_token AS a
) AS t (row)
"""
SHARE_OF_LARGE = "SELECT avg((dialog_id = %s)::integer)::float8 FROM conversation_store.conversation"


@pytest.fixture(scope="module")
def written(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bench")
    return run(server, [500, 600], folder, rounds=1, slice_seconds=0.001, items=50, tell=lambda _: None)


@pytest.fixture(scope="module")
def result(written: list[Path]) -> Any:
    return json.loads(next(path for path in written if path.suffix == ".json").read_text())


def test_every_goal_has_a_figure(result: Any) -> None:
    assert [goal["title"] for goal in result["goals"]] == [goal.title for goal in goals([500, 600])]
    assert all(goal["median"] == goal["median"] for goal in result["goals"])


def test_every_peer_has_a_sample_of_each_round(result: Any) -> None:
    samples = [peer["took"] for one in result["operations"] for peer in one["peers"].values()]
    assert len(samples) > 80
    assert all(len(took) == 1 for took in samples)


def test_the_conditions_name_the_machine_the_versions_and_the_settings(result: Any) -> None:
    conditions = result["conditions"]
    assert {
        "machine",
        "memory",
        "date",
        "commit",
        "PostgreSQL",
        "Python",
        "psycopg implementation",
    } <= conditions.keys()
    assert conditions["sizes"] == [500, 600]
    assert "fsync" in conditions["settings"]


def test_what_was_written_is_there(written: list[Path]) -> None:
    assert {path.suffix for path in written} == {".json", ".md", ".svg"}
    assert all(path.stat().st_size > 500 for path in written)


def test_data_of_a_size_are_the_same_each_time_and_a_fifth_is_in_one_dialog(server: Server) -> None:
    with ExitStack() as stack:
        conninfos = [stack.enter_context(database(server)) for _ in range(2)]
        first, second = (fill(of, 1_000, Texts(50), ragflow=False, tell=lambda _: None) for of in conninfos)
        assert (first.dialogs, first.letters, first.ideographs) == (second.dialogs, second.letters, second.ideographs)
        content: set[Any] = set()
        for conninfo in conninfos:
            with psycopg.connect(conninfo) as connection:
                content.add(connection.execute(CONTENT).fetchone())
                assert connection.execute(SHARE_OF_LARGE, [LARGE]).fetchone() == (0.2,)
        assert len(content) == 1


def test_peers_that_answer_differently_are_not_measured() -> None:
    cases = [Case(peer, lambda _: Sample(1), partial(lambda answer, _: answer, peer)) for peer in ("a", "b")]
    with pytest.raises(AssertionError, match="'b': 'b'"):
        check(Operation("get", lambda _: (), cases))
    check(Operation("get", lambda _: (), cases[:1]))


@pytest.mark.parametrize(
    ("kind", "unit", "median", "reached"),
    [("time", "×", 2, False), ("rate", "×", 0.5, True), ("difference", "ms", 1000, False)],
)
def test_a_goal_bounds_the_median_of_the_ratios_of_rounds(kind: Any, unit: Any, median: float, reached: bool) -> None:
    rounds: dict[str, list[float]] = {"of": [1, 2, 12], "by": [0.5, 1, 3]}
    measured = Measured("get", samples={peer: [Sample(took) for took in all] for peer, all in rounds.items()})
    found = stand(Goal("get", "get", "of", "by", 0.5, kind, unit), measured)
    assert (found.median, found.is_reached) == (median, reached)
