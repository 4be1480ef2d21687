"""What keeps chunks from being compressed on the way, where that is wished for."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker, listed, warning

_SINCE = (2, 19)
_RESERVED = "_ts_meta_"
_LATER = "or leave --compress out (`on_the_way` in hyperferry.toml)"


def _version(text: str | None) -> tuple[int, int]:
    parts = (text or "").split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit() else (0, 0)


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """What keeps chunks from being compressed on the way, where that is wished for."""
    if options.compress:
        yield from _server(inspection)
        yield from _table(inspection)
        yield from _afterwards(inspection)


def _server(inspection: Inspection) -> Iterator[Finding]:
    server = inspection.server
    if server.edition == "apache":
        yield blocker(
            f"Chunks cannot be compressed: TimescaleDB {server.timescaledb_installed} runs as the Apache-2 edition, which has no "
            "compression.",
            f"install the Community edition (timescaledb.license = 'timescale'); {_LATER}: the rollout itself needs none of it.",
            only=BLUE_GREEN,
        )
    elif server.timescaledb_installed is not None and _version(server.timescaledb_installed) < _SINCE:
        yield blocker(
            f"Compression on the way was tried from TimescaleDB {_SINCE[0]}.{_SINCE[1]} on; this is "
            f"{server.timescaledb_installed}.",
            f"upgrade TimescaleDB; {_LATER}, and compress the chunks after the cutover.",
            only=BLUE_GREEN,
        )


def _afterwards(inspection: Inspection) -> Iterator[Finding]:
    yield warning(
        f"What the application can do to compressed rows of {inspection.table.name} is less: a transaction that opens more than "
        "100,000 of them fails, and some versions refuse to MERGE over them (2.19) or to UPDATE the time or another column of "
        "a key (2.29).",
        "raise timescaledb.max_tuples_decompressed_per_dml_transaction where the application changes old rows in bulk; give "
        "--compress-after the age from which rows are seldom changed.",
        only=BLUE_GREEN,
    )


def _table(inspection: Inspection) -> Iterator[Finding]:
    table = inspection.table
    if table.row_security or inspection.policies:
        yield blocker(
            f"{table.name} has row security, with which TimescaleDB does not compress.",
            f"ALTER TABLE {table.name.quoted} DISABLE ROW LEVEL SECURITY; where nothing rests on it; {_LATER}.",
            only=BLUE_GREEN,
        )
    exclusions = [constraint.name for constraint in inspection.constraints if constraint.kind == "x"]
    if exclusions:
        yield blocker(
            f"{table.name} has exclusion constraints ({listed(exclusions)}), with which TimescaleDB does not compress.",
            f"drop them; {_LATER}.",
            only=BLUE_GREEN,
        )
    keys = [constraint.name for constraint in inspection.constraints if constraint.kind == "f"]
    if keys:
        yield blocker(
            f"{table.name} has foreign keys ({listed(keys)}). They can only be put on the hypertable in the cutover, "
            "and TimescaleDB puts none on compressed chunks.",
            "leave --compress out (`on_the_way` in hyperferry.toml), and compress the chunks after the cutover; or drop them: "
            + " ".join(f"ALTER TABLE {table.name.quoted} DROP CONSTRAINT {quote_ident(key)};" for key in keys),
            only=BLUE_GREEN,
        )
    for trigger in inspection.triggers:
        if trigger.transition_tables and " DELETE" in trigger.definition.partition(" ON ")[0].upper():
            yield blocker(
                f"The trigger {trigger.name} sees deleted rows in a transition table, which a compressed hypertable refuses.",
                f"make it a row trigger, or drop it: DROP TRIGGER {quote_ident(trigger.name)} ON {table.name.quoted}; {_LATER}.",
                only=BLUE_GREEN,
            )
    reserved = [column.name for column in inspection.columns if column.name.startswith(_RESERVED)]
    if reserved:
        yield blocker(
            f"Names that begin with {_RESERVED} belong to TimescaleDB in a compressed chunk: {listed(reserved)}.",
            f"rename the column; {_LATER}.",
            only=BLUE_GREEN,
        )
    if table.persistence == "u":
        yield blocker(
            f"{table.name} is unlogged; what is compressed of it was never tried.",
            f"ALTER TABLE {table.name.quoted} SET LOGGED; {_LATER}.",
            only=BLUE_GREEN,
        )
