"""The commands import and export: lines of JSON into a store and out of it, nothing lost in silence."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sysconfig
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conversation_store import ConversationStore
from conversation_store.jsonl import RejectedLine, import_jsonl

COMMAND = Path(sysconfig.get_path("scripts")) / "conversation-store"


def run(*arguments: str | Path, database: str, stdin: bytes = b"", cwd: Path | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [COMMAND, *arguments], input=stdin, capture_output=True, env={**os.environ, "DATABASE_URL": database}, cwd=cwd
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def fill(database: str) -> list[dict[str, Any]]:
    """Fill a store with everything that rows may hold; return them, dialogs and all, as they are to be after a move."""
    with ConversationStore(database) as store:
        store.dialogs.insert_many(
            [{"id": f"d{n}", "tenant_id": f"t{n % 2}", "name": (n and f"名字 {n}") or None} for n in range(4)]
        )
        values: list[Any] = [
            [],
            {},
            None,
            "",
            "text",
            '{"a": 1}',
            [None],
            [[]],
            [{"content": "检索\u2028 \U0001f600"}],
            1.5,
            2**70,
        ]
        store.conversations.insert_many(
            {
                "id": f"c{number}",
                "dialog_id": f"d{number % 3}",
                "message": value,
                "reference": value,
                "dsl": value,
                "name": "n" if number % 2 else None,
                "tokens": number,
                "duration": 0.1 * number,
                "create_date": f"2024-01-{1 + number:02}T12:00:00.123456+08:00",
            }
            for number, value in enumerate(values)
        )
        store.conversations.append_round("c0", [{"role": "user"}], reference=[1], tokens=5)
    return everything(database)


def everything(database: str) -> list[dict[str, Any]]:
    with ConversationStore(database) as store:
        return [row.to_dict() for row in (*store.dialogs.iter(), *store.conversations.iter())]


def empty(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE conversation_store.dialog CASCADE")


def test_what_is_exported_and_imported_is_the_same(database: str, tmp_path: Path) -> None:
    before = fill(database)
    assert len(before) == 4 + 11
    path = tmp_path / "all of it.jsonl"
    assert run("export", "-o", path, database=database) == (0, "", "exported 11 conversations and 4 dialogs\n")
    assert list(tmp_path.iterdir()) == [path]
    code, piped, _ = run("export", database=database)
    assert (code, piped) == (0, path.read_text())
    empty(database)
    assert run("import", path, database=database) == (0, "imported 11 conversations and 4 dialogs\n", "")
    assert everything(database) == before
    empty(database)
    assert run("import", "-", database=database, stdin=path.read_bytes())[0] == 0
    assert everything(database) == before


def test_a_tenant_or_a_dialog_is_exported_by_itself(database: str) -> None:
    fill(database)
    for arguments, dialogs, conversations in (
        (["--tenant", "t0"], {"d0", "d2"}, {0, 2}),
        (["--dialog", "d1"], {"d1"}, {1}),
        (["--tenant", "t0", "--dialog", "d1"], set(), set()),
        (["--tenant", "nobody"], set(), set()),
    ):
        code, printed, _ = run("export", *arguments, database=database)
        lines = [json.loads(line) for line in printed.split("\n")[:-1]]
        assert code == 0
        assert {line["dialog"]["id"] for line in lines if "dialog" in line} == dialogs
        assert {int(line["id"][1:]) % 3 for line in lines if "dialog" not in line} == conversations


BAD: dict[str, tuple[bytes, str]] = {
    "not json": (b'{"id": ', "is not JSON: "),
    "nothing": (b"null", "conversation must be a mapping, not NoneType"),
    "a list": (b"[]", "conversation must be a mapping, not list"),
    "not utf-8": (b'"\xff"', "is not UTF-8"),
    "no dialog": (b'{"id": "x"}', "conversation['dialog_id'] must be given and not be empty"),
    "a missing dialog": (b'{"dialog_id": "nowhere"}', "there is no dialog 'nowhere'"),
    "another tenant": (b'{"dialog_id": "d", "tenant_id": "u"}', "the dialog 'd' exists under another tenant"),
    "there already": (b'{"dialog_id": "d", "id": "old"}', "the conversation 'old' exists already"),
    "twice": (b'{"dialog_id": "d", "id": "new"}', "the conversation 'new' stands in line 3 already"),
    "unknown": (b'{"dialog_id": "d", "nothing": 1}', "unknown: 'nothing'"),
    "a wrong type": (b'{"dialog_id": "d", "tokens": "1"}', "conversation['tokens'] must be an int, not str"),
    "nan": (b'{"dialog_id": "d", "message": [NaN]}', "conversation['message'][0] must be a finite number"),
    "nul": (b'{"dialog_id": "d", "message": "\\u0000"}', "conversation['message'] must not contain U+0000"),
    "surrogate": (
        b'{"dialog_id": "d", "name": "\\ud800"}',
        "conversation['name'] must not contain the lone surrogate U+D800",
    ),
    "deep": (
        b'{"dialog_id": "d", "dsl": ' + b"[" * 600 + b"]" * 600 + b"}",
        "conversation['dsl'] must not be nested deeper",
    ),
    "deeper": (b"[" * 100_000, "is nested too deep"),
    "a date": (b'{"dialog_id": "d", "create_date": "yesterday"}', "conversation['create_date'] must be ISO 8601"),
    "a bad dialog": (b'{"dialog": {"id": "x"}}', "dialog['tenant_id'] must be given"),
    "a dialog elsewhere": (b'{"dialog": {"id": "d", "tenant_id": "u"}}', "the dialog 'd' exists under another tenant"),
    "a key twice": (b'{"dialog_id": "d", "id": "1", "id": "2"}', "has the duplicate key 'id' in one object"),
    "a mark": (b'\xef\xbb\xbf{"dialog_id": "d"}', "is not JSON"),
    "no time": (b'{"dialog_id": "d", "create_date": "2024-01-01", "create_time": "x"}', "conversation['create_time']"),
    "no year": (
        b'{"dialog_id": "d", "create_date": "0001-01-01T00:00:00+01:00"}',
        "conversation['create_date'] must lie",
    ),
    "a long number": (b'{"dialog_id": "d", "message": ' + b"9" * 5000 + b"}", "digits"),
    "half a dialog": (b'{"dialog": 5}', "dialog must be a mapping, not int"),
}


@pytest.fixture
def filled(database: str) -> str:
    with ConversationStore(database) as store:
        store.dialogs.save(id="d", tenant_id="t")
        store.conversations.save(id="old", dialog_id="d")
    return database


GOOD = b'{"dialog": {"id": "e", "tenant_id": "t"}}\n\n{"dialog_id": "d", "id": "new"}\n'


def test_a_bad_line_stops_the_import_with_nothing_imported(filled: str, tmp_path: Path) -> None:
    before = everything(filled)
    path = tmp_path / "in.jsonl"
    for line, reason in BAD.values():
        path.write_bytes(GOOD + line + b"\n" + b'{"dialog_id": "e"}\n')
        code, printed, said = run("import", path, database=filled)
        assert (code, printed) == (1, "")
        assert said.startswith("Error: line 4: ")
        assert reason in said
        assert everything(filled) == before


def test_bad_lines_are_set_aside_as_they_are_and_the_others_imported(filled: str, tmp_path: Path) -> None:
    lines = [line for line, _ in BAD.values()]
    path, aside = tmp_path / "in.jsonl", tmp_path / "bad lines.jsonl"
    path.write_bytes(GOOD + b"\r\n".join(lines) + b'\n   \n{"dialog_id": "e", "id": "last", "message": ["x"]}')
    code, printed, said = run("import", path, "--rejected", aside, database=filled)
    assert code == 3
    assert printed == f"imported 2 conversations and 1 dialogs\nrejected {len(BAD)} lines, which are in {aside}\n"
    assert aside.read_bytes() == b"\r\n".join(lines) + b"\n"  # to the byte
    for number, (told, (_, reason)) in enumerate(zip(said.splitlines(), BAD.values(), strict=True), start=4):
        assert told.startswith(f"{path}:{number}: ")
        assert reason in told
    with ConversationStore(filled) as store:
        assert store.conversations.get_dialog_ids(["old", "new", "last"]) == {"old": "d", "new": "d", "last": "e"}
        assert store.conversations.count() == 3
    # A second run of the same finds them there, and does not overwrite what was set aside.
    code, _, said = run("import", path, "--rejected", aside, database=filled)
    assert (code, said) == (1, f"Error: {aside} exists already; rejected lines are written to a new file\n")
    code, printed, _ = run("import", path, "--rejected", tmp_path / "more", database=filled)
    assert code == 3
    assert printed.splitlines()[:2] == [
        "imported 0 conversations and 0 dialogs",
        "skipped 1 dialogs, which exist already",
    ]
    with ConversationStore(filled) as store:
        assert store.conversations.count() == 3


def test_nothing_is_set_aside_where_nothing_is_bad(filled: str, tmp_path: Path) -> None:
    aside = tmp_path / "bad"
    assert run("import", "-", "--rejected", aside, database=filled, stdin=GOOD)[0] == 0
    assert not aside.exists()


def test_dialogs_that_are_missing_are_created_for_a_tenant_where_that_is_asked(filled: str) -> None:
    lines = b'{"dialog_id": "x", "id": "1"}\n{"dialog_id": "y", "id": "2", "tenant_id": "n"}\n'
    assert run("import", "-", "--tenant", "n", database=filled, stdin=lines) == (
        0,
        "imported 2 conversations and 2 dialogs\n",
        "",
    )
    others = [
        (
            b'{"dialog_id": "z", "id": "3", "tenant_id": "victim"}',
            "the conversation '3' belongs to the tenant 'victim'",
        ),
        (b'{"dialog_id": "d", "id": "4"}', "the dialog 'd' exists under another tenant"),
        (b'{"dialog": {"id": "w", "tenant_id": "victim"}}', "the dialog 'w' belongs to the tenant 'victim'"),
    ]
    for line, reason in others:
        code, _, said = run("import", "-", "--tenant", "n", database=filled, stdin=line)
        assert (code, said) == (1, f"Error: line 1: {reason}\n")
    with ConversationStore(filled) as store:
        assert [(d.id, d.tenant_id) for d in store.dialogs.iter()] == [("d", "t"), ("x", "n"), ("y", "n")]
        assert store.conversations.get_dialog_ids(["1", "2", "3", "4"]) == {"1": "x", "2": "y"}


def test_a_line_that_is_set_aside_changes_nothing_and_a_dialog_gets_its_name_later(filled: str, tmp_path: Path) -> None:
    lines = b'{"dialog_id": "new", "id": "old", "tenant_id": "t"}\n'
    lines += b'{"dialog_id": "late"}\n' * 700
    lines += b'{"dialog": {"id": "late", "tenant_id": "t", "name": "Late"}}\n'
    code, printed, _ = run("import", "-", "--tenant", "t", "--rejected", tmp_path / "a", database=filled, stdin=lines)
    assert (code, printed.splitlines()[0]) == (3, "imported 700 conversations and 1 dialogs")
    assert "skipped" not in printed
    with ConversationStore(filled) as store:
        assert [(d.id, d.name) for d in store.dialogs.iter()] == [("d", None), ("late", "Late")]


def test_an_export_is_imported_whatever_its_dates_and_a_byte_order_mark_is_passed_over(filled: str) -> None:
    with ConversationStore(filled) as store:
        store.conversations.save(dialog_id="d", id="moon", create_date="1969-07-20T20:17:40Z")
    before = everything(filled)
    exported = run("export", "-o", "-", database=filled)[1]
    empty(filled)
    assert run("import", "-", database=filled, stdin=b"\xef\xbb\xbf" + exported.encode())[0] == 0
    assert everything(filled) == before


def test_a_dialog_stands_before_its_conversations_in_small_files_too(filled: str) -> None:
    dialog, conversation = b'{"dialog": {"id": "e", "tenant_id": "t"}}\n', b'{"dialog_id": "e", "id": "1"}\n'
    code, _, said = run("import", "-", database=filled, stdin=conversation + dialog)
    assert (code, said) == (1, "Error: line 1: there is no dialog 'e', here or in a line before\n")
    assert run("import", "-", database=filled, stdin=dialog + conversation)[0] == 0


def test_a_line_of_many_batches_is_told_by_its_number(filled: str) -> None:
    lines = [b'{"dialog_id": "d", "id": "%d"}\n' % number for number in range(1200)]
    lines[1100] = lines[3]
    bad: list[RejectedLine] = []
    with ConversationStore(filled) as store:
        read: list[int] = []
        done = import_jsonl(store, iter_file(lines), on_rejected=bad.append, on_progress=read.append)
        assert (done.conversations, done.rejected) == (1199, 1)
        assert sum(read) == sum(map(len, lines))
        assert bad == [RejectedLine(1101, "the conversation '3' exists already", lines[3].rstrip(b"\n"))]
        assert store.conversations.count() == 1200


def iter_file(lines: list[bytes]) -> Any:
    return io.BytesIO(b"".join(lines))


def test_a_killed_import_leaves_nothing_and_an_interrupted_export_no_file(filled: str, tmp_path: Path) -> None:
    with ConversationStore(filled) as store:

        def stop(line: RejectedLine) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            import_jsonl(store, iter_file([GOOD, b"bad\n"]), on_rejected=stop)
        assert store.conversations.count() == 1
    code, _, said = run("export", "-o", tmp_path / "nowhere" / "x", database=filled)
    assert code == 1
    assert "No such file or directory" in said
    (tmp_path / "there").write_text("before")
    code, _, said = run("export", "--dialog", "x" * 200, "-o", tmp_path / "there", database=filled)
    assert code == 1
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("there", "before")]
    assert run("export", "-o", tmp_path / "there", database=filled)[0] == 0
    assert len((tmp_path / "there").read_text().splitlines()) == 2
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o666 & ~0o022


def test_an_export_takes_the_place_of_no_device_and_of_no_link(filled: str, tmp_path: Path) -> None:
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    target.write_text("before")
    link.symlink_to(target)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        assert run("export", "-o", pipe, database=filled)[0] == 0
        assert len(reader.communicate()[0].splitlines()) == 2
    assert pipe.is_fifo()
    assert run("export", "-o", link, database=filled)[0] == 0
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 2


def test_an_interrupted_import_leaves_nothing_and_sets_nothing_aside(filled: str, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    with subprocess.Popen(
        [COMMAND, "--database", filled, "import", "-", "--rejected", aside],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(GOOD + b"bad\n" * 1000)
        process.stdin.flush()
        while not aside.exists():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode != 0
    assert not aside.exists()
    with ConversationStore(filled) as store:
        assert store.conversations.count() == 1


def test_a_reader_that_has_enough_ends_the_export_quietly(filled: str) -> None:
    with ConversationStore(filled) as store:
        store.conversations.insert_many([{"dialog_id": "d", "message": ["x" * 1000]}] * 2000)
    done = subprocess.run(
        ["bash", "-c", f'"{COMMAND}" export | head -n 1'],
        capture_output=True,
        env={**os.environ, "DATABASE_URL": filled},
        text=True,
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "nowhere.jsonl"], "'nowhere.jsonl' does not exist"),
        (["import", "."], "is a directory"),
        (["import"], "Missing argument 'FILE'"),
        (["export", "--tenant", ""], "tenant_id must be given and not be empty"),
        (["export", "--dialog", "x" * 200], "dialog_id must have at most 128 characters"),
        (["import", "-", "--tenant", " " * 200], "tenant_id must have at most 128 characters"),
        (["import-ragflow"], "Missing option '--from'"),
    ],
)
def test_the_commands_say_what_is_wrong(arguments: list[str], message: str, database: str, tmp_path: Path) -> None:
    code, printed, said = run(*arguments, database=database, cwd=tmp_path)
    assert (code in (1, 2), printed) == (True, "")
    assert message in " ".join(said.split())


def test_a_database_without_the_schema_and_none_at_all_are_said(empty_database: str, tmp_path: Path) -> None:
    for command in (["export"], ["import", "-"]):
        code, _, said = run(*command, database=empty_database, stdin=GOOD)
        assert code == 1
        assert "conversation_store" in said
        assert "has `conversation-store migrate` been run?" in said
        code, _, said = run(*command, database="host=/nowhere dbname=x", stdin=GOOD)
        assert code == 1
        assert "No such file or directory" in said
        code, _, said = run(*command, database="", stdin=GOOD)
        assert code == 2
        assert "give --database URL or set DATABASE_URL" in said


def test_the_database_may_be_named_before_a_command_and_behind_it(filled: str) -> None:
    for arguments in (["--database", filled, "export"], ["export", "--database", filled]):
        assert run(*arguments, database="host=/nowhere")[0] == 0


def test_a_date_of_any_offset_comes_back(filled: str) -> None:
    lines = b'{"dialog_id": "d", "id": "1", "create_date": "2024-01-01T00:00:00+23:59"}\n'
    lines += b'{"dialog": {"id": "e", "tenant_id": "t", "create_time": 1704067200123}}\n'
    assert run("import", "-", database=filled, stdin=lines)[0] == 0
    with ConversationStore(filled) as store:
        (conversation,) = store.conversations.get_by_ids(["1"])
        assert conversation.create_date.isoformat() == "2023-12-31T00:01:00+00:00"
        (dialog,) = store.dialogs.get_by_ids(["e"])
        assert (dialog.create_time, dialog.update_time) == (1704067200123, 1704067200123)


def test_ids_are_made_where_there_are_none(filled: str) -> None:
    assert run("import", "-", database=filled, stdin=b'{"dialog_id": "d"}\n' * 3)[0] == 0
    with ConversationStore(filled) as store:
        made = [c.id for c in store.conversations.iter() if c.id != "old"]
        assert len({uuid.UUID(id) for id in made}) == 3
