"""The schema of the whole database, read from the real server by pg_dump and made again in the rehearsal's, without a row."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from hyperferry.db import pause_seconds
from hyperferry.errors import Failed

from .place import Place
from .programs import Programs, connection, interrupted, run
from .surroundings import Surroundings

LOCK_WAIT_MS = 300
"""How long pg_dump waits for a lock; then it gives up all that it has, and is started again."""

ATTEMPTS = 10

CHUNKS = ("_timescaledb_internal._hyper_*_chunk", "_timescaledb_internal.compress_hyper_*_chunk")
"""Chunks of other hypertables: these stand as plain tables in the rehearsal, and there may be thousands."""

OURS = ("hyperferry", "hyperferry_new_*", "hyperferry_old_*")

_ENTRY = re.compile(r"^\d+; \d+ \d+ (?P<what>.+)$")
_LEFT_OUT = re.compile(
    # Made by `furnish`; passwords of other servers; what would connect to another server; our own and TimescaleDB's triggers.
    r"^(EXTENSION |COMMENT - EXTENSION |USER MAPPING |SUBSCRIPTION |SUBSCRIPTION TABLE |COMMENT - SUBSCRIPTION "
    r"|TRIGGER .* (hyperferry_|ts_insert_blocker))"
)
_AT = re.compile(r"^pg_restore: from TOC entry \d+; \d+ \d+ (?P<what>.+)$")
_SAID = re.compile(r"^pg_restore: error: (?:could not execute query: )?(?:ERROR: +)?(?P<said>.+)$")


@dataclass(frozen=True)
class NotCloned:
    """An object that could not be made again. `what` is its kind, schema, name and owner, as pg_dump lists it."""

    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


def dump(
    programs: Programs, dsn: str, around: Surroundings, table: str, file: Path, *, stop: threading.Event
) -> None:
    """Writes the schema of the database to `file`, in pg_dump's own format. The server is only read, in a read-only transaction.

    Raises Failed where pg_dump may not read something, or does not get its locks.
    """
    env, at = connection(dsn, options="-c default_transaction_read_only=on")
    arguments = [
        f"--dbname={at}",
        "--schema-only", "--format=custom", "--no-password", "--no-subscriptions", "--no-sync",
        f"--lock-wait-timeout={LOCK_WAIT_MS}", f"--file={file}",
        *(f"--exclude-schema={each}" for each in OURS),
        *(f"--exclude-table={each}" for each in CHUNKS),
        *(f"--exclude-table={schema}.{name}" for schema, name in around.unreadable),
    ]  # fmt: skip
    for attempt in range(1, ATTEMPTS + 1):
        done = run(programs, "pg_dump", arguments, env, stop=stop)
        if done.code == 0:
            return
        if "canceling statement due to" not in done.error or attempt == ATTEMPTS:
            break
        time.sleep(pause_seconds(attempt))
        if stop.is_set():
            raise interrupted()
    denied = "permission denied" in done.error
    raise Failed(
        "The definition of the database could not be read by pg_dump.",
        facts={"table": table, "role": around.role, "pg_dump said": _first(done.error)},
        remedy="let the role read what is named: GRANT USAGE ON SCHEMA ..., GRANT SELECT ON ..., or rehearse as the owner of it."
        if denied
        else "a table was locked for long, or the connection was refused; try again.",
    )


def restore(
    programs: Programs, made: Place, file: Path, folder: Path, *, stop: threading.Event, tablespaces: bool
) -> tuple[NotCloned, ...]:
    """Makes everything of `file` in the rehearsal's database. Gives what could not be made, in order."""
    env, at = connection(made.dsn)
    listed = run(programs, "pg_restore", ["--list", str(file)], env, stop=stop)
    if listed.code != 0:
        raise Failed(
            "The dump of the database's schema cannot be read.",
            facts={"pg_restore said": _first(listed.error)},
        )
    wanted = folder / "wanted"
    wanted.write_text(
        "\n".join(line for line in listed.output.splitlines() if _is_wanted(line)) + "\n", "utf-8"
    )
    # Only a verbose one says which object an error is about.
    arguments = ["--verbose", "--no-password", f"--use-list={wanted}", f"--dbname={at}"]
    if not tablespaces:
        arguments.append("--no-tablespaces")
    done = run(programs, "pg_restore", [*arguments, str(file)], env, stop=stop)
    failures = parse_failures(done.error)
    if done.code != 0 and not failures and "errors ignored on restore" not in done.error:
        raise Failed(
            "The schema could not be made again in the rehearsal's database.",
            facts={"pg_restore said": _first(done.error)},
        )
    return failures


def schema_text(programs: Programs, made: Place, *, stop: threading.Event) -> str:
    """The schema of the rehearsal's database as SQL, without what is hyperferry's."""
    env, at = connection(made.dsn)
    arguments = [
        f"--dbname={at}",
        "--schema-only", "--no-password", "--no-subscriptions", "--restrict-key=rehearsal",
        *(f"--exclude-schema={each}" for each in OURS),
        *(f"--exclude-table={each}" for each in CHUNKS),
    ]  # fmt: skip
    done = run(programs, "pg_dump", arguments, env, stop=stop)
    if done.code != 0 and "restrict-key" in done.error:
        arguments.remove("--restrict-key=rehearsal")
        done = run(programs, "pg_dump", arguments, env, stop=stop)
    if done.code != 0:
        raise Failed(
            "The rehearsal's own database could not be read.", facts={"pg_dump said": _first(done.error)}
        )
    return done.output


def _is_wanted(line: str) -> bool:
    entry = _ENTRY.match(line)
    return entry is not None and _LEFT_OUT.match(entry["what"]) is None


def parse_failures(text: str) -> tuple[NotCloned, ...]:
    """What pg_restore says that it could not make. A schema or an extension that is there already is no failure."""
    found: list[NotCloned] = []
    what = "?"
    for line in text.splitlines():
        if at := _AT.match(line):
            what = at["what"]
        elif (said := _SAID.match(line)) and not (
            what.startswith("SCHEMA ") and "already exists" in said["said"]
        ):
            found.append(NotCloned(what, said["said"]))
    return tuple(found)


def _first(text: str) -> str:
    lines = [
        line for line in text.strip().splitlines() if ": warning:" not in line and ": detail:" not in line
    ]
    return " / ".join(lines[:3]) or "nothing"
