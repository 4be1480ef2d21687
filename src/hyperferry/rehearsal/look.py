"""The table as it is: what preflight says of it on the real server, which is only read."""

from __future__ import annotations

import time
from dataclasses import dataclass

from hyperferry import engine, planner
from hyperferry.errors import Refused
from hyperferry.model.finding import Finding, Level
from hyperferry.model.inspection import Inspection, ServerFacts
from hyperferry.model.plan import Plan, Strategy
from hyperferry.model.reading import Reading
from hyperferry.words import about_to_read, plural

from .options import RehearsalOptions, RehearsalReport, Say, Status, Step


@dataclass(frozen=True)
class Real:
    """What the real server says of the table. `plan` is None where something blocks it."""

    inspection: Inspection
    findings: tuple[Finding, ...]
    strategy: Strategy
    plan: Plan | None


def look(options: RehearsalOptions, report: RehearsalReport, say: Say) -> Real:
    """Preflight on the real server: what it refuses, a start would refuse."""
    began = time.monotonic()
    if options.plan is not None:
        plan = options.plan
        real = Real(plan.inspection, plan.findings, plan.strategy, plan)
        say(f"Rehearsing the plan of {plan.table}.")
    else:
        wishes = options.plan_options
        strategy = wishes.strategy or Strategy.BLUE_GREEN
        inspection, findings = engine.preflight(
            options.dsn,
            options.table,
            options.time_column,
            options=wishes,
            scan=options.scan,
            announce=lambda reading: _announce(options.table, reading, say),
        )
        blocked = any(each.level is Level.BLOCKER for each in findings)
        real = Real(
            inspection, findings, strategy, None if blocked else planner.plan(inspection, findings, wishes)
        )
    table = real.inspection.table
    report.table, report.time_column, report.findings = (
        str(table.name),
        real.inspection.time_column,
        real.findings,
    )
    report.accepts_needed = tuple(sorted({each.accept for each in real.findings if each.accept}))
    server = real.inspection.server
    report.real_server = server_text(server)
    if table.relkind != "r":
        raise Refused(
            f"{table.name} is a {table.kind}: there is no job to rehearse.", remedy="name an ordinary table."
        )
    blockers = [each for each in real.findings if each.level is Level.BLOCKER]
    report.steps.append(
        Step(
            "preflight",
            Status.REFUSED if blockers else Status.PASSED,
            f"{plural(len(blockers), 'blocker')} on the real server: {', '.join(sorted({b.rule for b in blockers}))}"
            if blockers
            else "nothing blocks on the real server",
            time.monotonic() - began,
            remedy=" / ".join(dict.fromkeys(each.remedy for each in blockers)) or None,
            details=tuple(f"{each.rule}: {each.message}" for each in blockers),
        )
    )
    return real


def _announce(table: str, reading: Reading, say: Say) -> None:
    text = about_to_read(table, reading.by_index, reading.seconds)
    if text is not None:
        say(text)


def server_text(server: ServerFacts) -> str:
    """The server in a few words."""
    edition = f", {server.edition} edition" if server.edition else ""
    return f"PostgreSQL {server.version.split()[0]}, TimescaleDB {server.timescaledb_installed or 'none'}{edition}"
