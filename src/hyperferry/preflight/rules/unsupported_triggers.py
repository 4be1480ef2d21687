"""Triggers that a hypertable refuses or would run differently."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker

STATES = {"D": "disabled", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Triggers that a hypertable refuses or would run differently."""
    table = inspection.table.name.quoted
    for trigger in inspection.triggers:
        name = quote_ident(trigger.name)
        drop = f"DROP TRIGGER {name} ON {table};"
        if trigger.row_level and trigger.transition_tables:
            yield blocker(
                f"The row trigger {trigger.name} has transition tables, which hypertables refuse.",
                f"make it a statement trigger or do without the transition table; to be rid of it: {drop}",
            )
        elif trigger.transition_tables and not inspection.server.has_timescaledb(2, 18):
            version = inspection.server.timescaledb_installed or inspection.server.timescaledb_available
            yield blocker(
                f"The trigger {trigger.name} has transition tables, which TimescaleDB {version} refuses on a hypertable.",
                f"upgrade TimescaleDB to 2.18 or later, do without the transition table, or be rid of it: {drop}",
            )
        if trigger.constraint:
            yield blocker(
                f"{trigger.name} is a constraint trigger; hyperferry does not carry it over.",
                f"make it an ordinary AFTER trigger, or drop it: {drop}",
                only=BLUE_GREEN,
            )
        if trigger.enabled != "O":
            state = STATES.get(trigger.enabled, trigger.enabled)
            yield blocker(
                f"The trigger {trigger.name} is {state}; the triggers of a hypertable's chunks are "
                "ordinary ones, whatever the root's are.",
                f"{drop} or: ALTER TABLE {table} ENABLE TRIGGER {name};",
            )
