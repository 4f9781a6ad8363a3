"""The benchmark at its smallest: every peer answers as the others do, and the report is whole. No time is asserted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.goals import goals
from benchmarks.run import run
from support.server import Server

pytestmark = pytest.mark.slow


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
