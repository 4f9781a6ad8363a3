"""The package as users get it: its names, its files, its command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import conversation_store
from conversation_store import StoreError, errors
from conversation_store._sql_loader import load_all, sql_directory
from support.server import Server
from support.server import database as new_database

CHECKOUT = Path(__file__).parents[1]
VERSION = version("conversation-store")
MIGRATIONS = sorted(file.stem for file in (CHECKOUT / "sql" / "schema").glob("*.sql"))

USE = """
import sys
import conversation_store
from conversation_store import ConversationStore, migrate
from conversation_store._sql_loader import load_all
assert str(conversation_store.__file__).startswith(sys.argv[1]), conversation_store.__file__
print(len(load_all()), *migrate(sys.argv[2]))
with ConversationStore(sys.argv[2]) as store:
    store.dialogs.save(id="d", tenant_id="t")
    store.conversations.save(dialog_id="d", message=[{"content": "检索"}])
    print(store.conversations.get_list("d", "t", keywords="检索").count)
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and from it the wheel; return their folder."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, CHECKOUT, cwd=folder)
    return folder


def test_the_wheel_holds_every_sql_file_and_works_outside_of_the_checkout(
    built: Path, server: Server, tmp_path: Path
) -> None:
    (wheel,) = built.glob("*.whl")
    files = {
        f"conversation_store/sql/{file.relative_to(CHECKOUT / 'sql')}" for file in (CHECKOUT / "sql").rglob("*.sql")
    }
    assert len(files) > 15
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert files <= names
        assert {"conversation_store/py.typed", "conversation_store/sql/README.md"} <= names
        assert not [
            name
            for name in names
            if name.split("/")[0] not in ("conversation_store", f"conversation_store-{VERSION}.dist-info")
        ]
        for file in files:
            assert archive.read(file) == (CHECKOUT / "sql" / file.removeprefix("conversation_store/sql/")).read_bytes()
    site = tmp_path / "site"
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
        "--target",
        site,
        wheel,
        cwd=tmp_path,
    )
    with new_database(server) as conninfo:
        printed = run(sys.executable, "-c", USE, site, conninfo, cwd=tmp_path, PYTHONPATH=str(site))
    assert printed.split() == [str(len(load_all())), *MIGRATIONS, "1"]


def test_the_source_distribution_holds_what_a_wheel_is_made_of_and_nothing_private(built: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "sql/conversation/get_list.sql",
        "src/conversation_store/py.typed",
    } <= names
    assert not [name for name in names if name.startswith((".", "tests")) and name != ".gitignore"]


def test_the_checkout_reads_the_files_that_are_reviewed() -> None:
    assert Path(str(sql_directory())) == CHECKOUT / "sql"


def test_the_public_names_are_these() -> None:
    assert conversation_store.__all__ == sorted(conversation_store.__all__)
    assert set(conversation_store.__all__) == {
        *(
            "ConversationStore",
            "AsyncConversationStore",
            "Transaction",
            "AsyncTransaction",
            "OnStatement",
            "migrate",
            "migrate_async",
        ),
        *("ConversationRepository", "DialogRepository", "ApiTokenRepository"),
        *("AsyncConversationRepository", "AsyncDialogRepository", "AsyncApiTokenRepository"),
        *("Conversation", "ConversationName", "DailyStats", "Page", "Dialog", "ApiToken", "IssuedToken"),
        *(
            "StoreError",
            "NotFound",
            "ConversationNotFound",
            "DialogNotFound",
            "TokenNotFound",
            "Conflict",
            "RoundConflict",
            "NotAppendable",
            "InvalidArgument",
            "InvalidArgumentType",
        ),
        *(
            "AlreadyExists",
            "DialogNotEmpty",
            "OutsideTransaction",
            "AbortedTransaction",
            "StalePlan",
            "MigrationError",
            "QueryError",
        ),
        *("TenantRepository", "AsyncTenantRepository", "DeletedTenant", "CursorPage", "OnProgress"),
    }


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    drawn = [line for line in (errors.__doc__ or "").splitlines() if line and line[0] in "│├└S"]
    kinds = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert {line.split()[-1] for line in drawn} == set(kinds)
    for kind in kinds.values():
        assert issubclass(kind, StoreError)
        assert kind.__doc__


def test_the_core_needs_a_driver_and_a_pool_and_nothing_else() -> None:
    code = "import sys, conversation_store; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(run(sys.executable, "-c", code, cwd=CHECKOUT).split())
    ours = loaded - set(sys.stdlib_module_names) - {"__main__"}
    assert {"conversation_store", "psycopg", "psycopg_pool"} <= ours
    assert not ours & {"click", "rich", "sqlalchemy", "pydantic"}


COMMAND = (Path(sysconfig.get_path("scripts")) / "conversation-store",)


def test_the_command_migrates_a_database(empty_database: str, tmp_path: Path) -> None:
    names = "".join(f"{name}\n" for name in MIGRATIONS)
    assert run(*COMMAND, "migrate", cwd=tmp_path, DATABASE_URL=empty_database) == names
    assert run(*COMMAND, "--database", empty_database, "migrate", cwd=tmp_path, DATABASE_URL="") == ""
    assert run(*COMMAND, "--version", cwd=tmp_path).strip().endswith(VERSION)
    assert "migrate" in run(*COMMAND, "--help", cwd=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["migrate"], {}, "give --database URL or set DATABASE_URL"),
        (["--database", "host=/nowhere", "migrate"], {}, "No such file or directory"),
        (["--database", "nonsense", "migrate"], {}, "missing"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str], environment: dict[str, str], message: str, tmp_path: Path
) -> None:
    clean = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env={**clean, **environment}, cwd=tmp_path
    )
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_says_what_is_slow_on_a_database_with_lc_ctype_c(server: Server, tmp_path: Path) -> None:
    with new_database(server, c_locale=True) as conninfo:
        done = subprocess.run(
            [*COMMAND, "--database", conninfo, "migrate"], capture_output=True, text=True, cwd=tmp_path
        )
    assert done.returncode == 0
    assert done.stderr.startswith("warning: the database's LC_CTYPE is C")


def test_the_changelog_is_that_of_this_version() -> None:
    assert f'version = "{VERSION}"' in (CHECKOUT / "pyproject.toml").read_text()
    (newest, *_) = re.findall(r"^## (.*)$", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest == VERSION
