"""squawk on migrations: what `make lint` lets pass, and what it does not."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

from support.schema import migration

CHECKOUT = Path(__file__).parents[2]
CONFIG = CHECKOUT / ".squawk.toml"
SQUAWK = Path(sysconfig.get_path("scripts")) / "squawk"


def run(*files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SQUAWK, "--config", CONFIG, "--reporter", "gcc", *files], capture_output=True, text=True, check=False
    )


def test_the_migrations_pass() -> None:
    done = run(*(CHECKOUT / "sql" / "schema").glob("*.sql"))
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("CREATE INDEX new_idx ON conversation_store.dialog (name);", "require-concurrent-index-creation"),
        ("DROP INDEX conversation_store.dialog_tenant_id_id_idx;", "require-concurrent-index-deletion"),
        ("ALTER TABLE conversation_store.dialog ADD CONSTRAINT c CHECK (name <> '');", "constraint-missing-not-valid"),
        ("ALTER TABLE conversation_store.dialog ADD c uuid DEFAULT gen_random_uuid();", "adding-field-with-default"),
        ("ALTER TABLE conversation_store.dialog RENAME COLUMN name TO title;", "renaming-column"),
        ("ALTER TABLE conversation_store.dialog ALTER name TYPE varchar(10);", "changing-column-type"),
        ("ALTER TABLE conversation_store.dialog DROP COLUMN name;", "ban-drop-column"),
        ("ALTER TABLE conversation_store.dialog ALTER name SET NOT NULL;", "adding-not-nullable-field"),
    ],
)
def test_what_blocks_or_breaks_a_running_service_does_not_pass(tmp_path: Path, statement: str, rule: str) -> None:
    file = tmp_path / "0005_new.sql"
    file.write_text(migration(statement))
    done = run(file)
    assert done.returncode == 1
    assert rule in done.stdout


def test_an_index_built_concurrently_passes(tmp_path: Path) -> None:
    file = tmp_path / "0005_new.sql"
    index = "CREATE INDEX CONCURRENTLY IF NOT EXISTS new_idx ON conversation_store.dialog (name);"
    file.write_text(migration(index, option=" transaction:false"))
    assert run(file).returncode == 0
