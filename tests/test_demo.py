"""The demo: its steps on the file that it ships with, and its messages about malformed files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conversation_store._sql_loader import load_all
from support.server import Server
from support.urls import as_url

DEMO = Path(__file__).parent / "demo" / "demo.py"
SHIPPED = DEMO.with_name("conversations.jsonl")


def run(*arguments: str | Path, server: Server, columns: int = 100) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "DATABASE_URL": as_url(server.conninfo()),
        "COLUMNS": str(columns),
        "PYTHONIOENCODING": "utf-8",
    }
    return subprocess.run([sys.executable, DEMO, *arguments], capture_output=True, text=True, env=environment)


def line(**changes: Any) -> str:
    good = json.loads(SHIPPED.read_text().splitlines()[0])
    return json.dumps({**good, **changes}, ensure_ascii=False)


def test_the_shipped_file_is_in_english_and_chinese_and_multi_turn() -> None:
    conversations = [json.loads(line) for line in SHIPPED.read_text().splitlines()]
    assert len(conversations) == len({conversation["id"] for conversation in conversations}) >= 40
    assert all(len(conversation["messages"]) >= 2 for conversation in conversations)
    chinese = [c for c in conversations if "一" <= c["messages"][0]["content"][0] <= "鿿"]
    assert 15 <= len(chinese) <= 25


@pytest.mark.parametrize("columns", [80, 200])
def test_every_step_is_shown_with_its_files_and_no_turn_is_lost(server: Server, columns: int) -> None:
    done = run(server=server, columns=columns)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "40 conversations loaded, 0 lines not" in done.stdout
    assert "200 different turns stored, 0 lost" in done.stdout
    assert "authenticates demo-tenant; another text: None" in done.stdout
    assert "Find 'station'" in done.stdout
    assert "Find '可以'" in done.stdout
    assert "read with await: the conversation as it was saved" in done.stdout
    assert "█" in done.stdout
    for step in ("conversation.save", "api_token.save", "api_token.authenticate", "conversation.get_list_by_keywords",
                 "conversation.append_round", "conversation.get_by_id", "conversation.stats"):  # fmt: skip
        assert step in load_all()
        assert f"sql/{step.replace('.', '/')}.sql" in done.stdout
    assert all(len(shown.encode("utf-16-le")) // 2 <= columns for shown in done.stdout.splitlines())


def test_a_malformed_line_is_reported_with_its_number_and_the_rest_is_loaded(server: Server, tmp_path: Path) -> None:
    bad: dict[int, str | bytes] = {
        2: "{not json",
        3: "[]",
        4: line(id=5),
        5: line(messages="text"),
        6: line(messages=[{"role": "user"}]),
        7: line(created_at="yesterday"),
        8: json.dumps({"id": "x"}),
        9: line(),  # the id of line 1 once more
        10: line(id="x", tokens=True),
        11: line(id="x", duration=float("nan")),
        12: line(id="x", messages=[{"role": "user", "content": "a\u0000b"}]),
        13: line(id="x", messages=[{"role": "user", "content": "\ud800"}]).encode("utf-8", "surrogatepass"),
        14: b"\xff\xfe",
        15: line(id="x", dialog=""),
        16: line(id="x" * 500),
    }
    lines: list[str | bytes] = [line(), *bad.values(), "", "   ", line(id="last", source=None, messages=[])]
    path = tmp_path / "in put.jsonl"
    path.write_bytes(
        b"\n".join(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass") for text in lines)
    )
    done = run(path, server=server)
    assert done.returncode == 0, done.stderr
    assert f"2 conversations loaded, {len(bad)} lines not" in done.stdout
    for number in bad:
        assert f"  line {number}: " in done.stdout
    assert "line 9: a conversation with this id exists already" in done.stdout


def test_an_input_from_which_nothing_can_be_loaded_is_an_error(server: Server, tmp_path: Path) -> None:
    empty, broken = tmp_path / "empty.jsonl", tmp_path / "broken.jsonl"
    empty.write_text("")
    broken.write_text("{\n" * 3)
    for path, message in [
        (tmp_path / "nowhere.jsonl", "does not exist"),
        (tmp_path, "is no file"),
        (empty, "nothing could be loaded"),
        (broken, "nothing could be loaded"),
    ]:
        done = run(path, server=server)
        assert done.returncode == 1
        assert done.stderr.strip() == f"{path}: {message}"
