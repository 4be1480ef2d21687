"""The clone: made, and compared with the table that it stands for."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from hyperferry import engine
from hyperferry.errors import Failed, HyperferryError
from hyperferry.model.inspection import Inspection
from hyperferry.words import count, plural

from . import compare
from .clone import restore
from .furnish import furnish, runner
from .look import Real, server_text
from .options import RehearsalReport, Status, Step
from .place import Place
from .programs import Programs
from .surroundings import Surroundings


@dataclass(frozen=True)
class Clone:
    """The clone: the connection string for the job, and what the table looks like there."""

    dsn: str
    inspection: Inspection


def make_clone(
    real: Real,
    around: Surroundings,
    programs: Programs,
    made: Place,
    file: Path,
    folder: Path,
    report: RehearsalReport,
    began: float,
    stop: threading.Event,
) -> Clone:
    """Makes the clone and looks whether it is the table."""
    report.warnings += furnish(made, around)
    own_tablespaces = not any("tablespace" in each for each in report.warnings)
    failures = restore(programs, made, file, folder, stop=stop, tablespaces=own_tablespaces)
    file.unlink()
    table = real.inspection.table.name
    dsn, warnings = runner(made, around)
    report.warnings += warnings
    try:
        inspection = engine.inspect(dsn, table.quoted, real.inspection.time_column, scan=False)
    except HyperferryError as error:
        raise Failed(
            f"{table} could not be made again on the server of the rehearsal, so nothing could be rehearsed.",
            facts={
                "server": made.description,
                **{f"not made {number}": str(each) for number, each in enumerate(failures[:8], 1)},
                "then": error.message,
            },
            remedy="rehearse on a server that has what is missing: --in DSN, or --server NAME of your servers.toml.",
        ) from None
    server = inspection.server
    report.rehearsed_on = f"{made.description}: " + server_text(server)
    report.warnings += _other_server(real.inspection, inspection)
    report.warnings += [f"Could not be made again: {each}" for each in failures]
    report.warnings += [
        f"{plural(len(around.unreadable), 'table')} that {around.role} may not read stayed out: "
        + ", ".join(f"{schema}.{name}" for schema, name in around.unreadable[:10])
    ] * bool(around.unreadable)
    lacking = compare.missing(real.inspection, inspection)
    report.warnings += [
        f"The clone is not quite the table: {each}; so this was not rehearsed." for each in lacking
    ]
    report.steps.append(
        Step(
            "clone",
            Status.PASSED,
            f"{table} and all around it, on {made.description}",
            time.monotonic() - began,
        )
    )
    return Clone(dsn, inspection)


def _other_server(real: Inspection, here: Inspection) -> list[str]:
    """In what the server of the rehearsal is another than the real one."""
    found = []
    if real.server.version_num // 10_000 != here.server.version_num // 10_000:
        found.append(
            f"PostgreSQL is {real.server.version} on the real server, {here.server.version} in the rehearsal."
        )
    for name, one, other in (
        ("TimescaleDB", real.server.timescaledb_installed or "not there", here.server.timescaledb_installed),
        ("TimescaleDB's edition", real.server.edition or "not known", here.server.edition),
    ):
        if one != other:
            found.append(f"{name} is {one} on the real server, {other} in the rehearsal.")
    slots = [
        each.server.max_locks_per_transaction
        * (each.server.max_connections + each.server.max_prepared_transactions)
        for each in (real, here)
    ]
    if slots[0] < slots[1]:
        found.append(
            f"The lock table of the real server has room for {count(slots[0])} locks, "
            f"that of the rehearsal for {count(slots[1])}."
        )
    return found
