"""Checks of what stands between the store and its tables: poolers, privileges, policies of rows."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg

from conversation_store.dba.doctor.patient import Finding, Patient
from conversation_store.dba.files import QueryFile
from conversation_store.dba.plans import explain

_SCHEMA = "conversation_store"


def check_pooler(patient: Patient) -> Iterator[Finding]:
    """Look whether a pooler stands between, as the store does on each new connection."""
    told = patient.connection.info.backend_pid
    actual = patient.read_one("process").process
    if told == actual:
        yield Finding("ok", f"no pooler: the connection was told of the server's process {actual}")
        return
    yield Finding(
        "advice",
        f"a pooler stands between: the connection was told of process {told}, and process {actual} of the server"
        " answers. Statements are not prepared behind it, and a list by date is planned again on each call",
        "where the pooler keeps prepared statements apart (PgBouncer 1.21 with max_prepared_statements above 0), make"
        " the store with prepare=True",
    )


def check_privileges(patient: Patient) -> Iterator[Finding]:
    """Look which statements the role may not run: each is explained, which needs the rights to run it."""
    facts = patient.facts
    if not facts.has_schema:
        yield Finding("unknown", "there is no schema conversation_store", "conversation-store migrate")
        return
    if not facts.may_use_schema:
        yield Finding(
            "problem",
            f"the role {facts.role} may not use the schema: no statement runs",
            f"GRANT USAGE ON SCHEMA {_SCHEMA} TO {patient.role};",
        )
        return
    lacks = {row.name: row.lacks for row in patient.read("privileges")}
    found = [*_refused(patient, lacks), *_functions(patient)]
    superuser = ", as a superuser: examine the server with the role of the service too" if facts.is_superuser else ""
    yield from found or [Finding("ok", f"the role {facts.role} may run all {len(patient.files)} statements{superuser}")]


def _refused(patient: Patient, lacks: dict[str, list[str]]) -> Iterator[Finding]:
    """Return what is refused, one finding for each table or other object."""
    refused: dict[str, list[str]] = {}
    for file in patient.files:
        if (reason := _refusal(patient.connection, file, lacks)) is not None:
            refused.setdefault(reason, []).append(file.name)
    for reason, names in refused.items():
        files = [file for file in patient.files if file.name in names]
        yield Finding("problem", f"{reason}: {_counted(names)}", _cure(reason, lacks, patient.role, files))


def _cure(reason: str, lacks: dict[str, list[str]], role: str, files: list[QueryFile]) -> str:
    """Return what to do about a refusal."""
    if not reason.startswith("permission denied"):
        return "bring the schema up to date (conversation-store migrate), or correct the file of the service"
    name = reason.rpartition(" ")[2]
    if reason.startswith("permission denied for schema"):
        return f"GRANT USAGE ON SCHEMA {name} TO {role};"
    if rights := ", ".join(lacks.get(name, ())):
        return f"GRANT {rights} ON {_SCHEMA}.{name} TO {role};"
    # A table of a service. What its files do with another table is asked for here too, so that a person looks first.
    words = {word for file in files for word in file.words}
    rights = ", ".join(right for right in ("SELECT", "INSERT", "UPDATE", "DELETE") if right.lower() in words)
    tables = {found[0] for file in files for found in re.finditer(rf"\w+\.{re.escape(name)}\b", file.body)}
    return f"GRANT {rights} ON {min(tables)} TO {role}; as far as it needs them" if tables else "grant what it lacks"


def _refusal(connection: psycopg.Connection[object], file: QueryFile, lacks: dict[str, list[str]]) -> str | None:
    """Return what the server says where the role may not run a statement, or nobody can.

    Where the right to a table is lacking, the words end with its name.
    """
    if file.is_copy:  # which cannot be explained
        table = re.search(rf"{_SCHEMA}\.(\w+)", file.body)
        if table is not None and "INSERT" in lacks.get(table[1], ()):
            return f"permission denied for table {table[1]}"
        return None
    try:
        explain(connection, file.query, dict.fromkeys(file.query.parameters))
    except psycopg.errors.InsufficientPrivilege as error:
        return error.diag.message_primary
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
        raise  # the rights are not known then
    except psycopg.ProgrammingError as error:
        # Such as a table that is not there. A plan of values that are NULL may not be had for other reasons.
        return error.diag.message_primary if (error.sqlstate or "").startswith("42") else None
    except psycopg.Error:
        return None
    return None


def _functions(patient: Patient) -> Iterator[Finding]:
    names = [row.name for row in patient.read("functions")]
    if names:
        yield Finding(
            "problem",
            f"the role may not execute functions that the statements call: {_counted(names)}",
            f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {_SCHEMA} TO {patient.role};",
        )


def _counted(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def check_policies(patient: Patient) -> Iterator[Finding]:
    """Look for row-level security that holds for the role."""
    held = [row.name for row in patient.read("privileges") if row.has_policies]
    if not held:
        yield Finding("ok", "no policy of row-level security holds for the role")
        return
    if "api_token" in held:
        yield Finding(
            "problem",
            "row-level security holds on api_token: a token is found before its tenant is known, so that no request"
            " authenticates where a policy asks for the tenant",
            f"ALTER TABLE {_SCHEMA}.api_token DISABLE ROW LEVEL SECURITY; or authenticate with a role that has"
            " BYPASSRLS",
        )
    if others := [name for name in held if name != "api_token"]:
        yield Finding(
            "advice",
            f"row-level security holds on {', '.join(others)}: searches read every message of a dialog, and COPY is"
            " refused, so that insert_many of conversations and imports fail",
            f"import with a role that has BYPASSRLS: ALTER ROLE … BYPASSRLS; the role here is {patient.facts.role}",
        )
