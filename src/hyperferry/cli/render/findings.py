"""What preflight found, for people."""

from __future__ import annotations

from collections.abc import Sequence

from hyperferry.model.finding import Finding, Level
from hyperferry.model.inspection import Inspection
from hyperferry.words import count, duration, plural, size

from .text import Line

_STYLES = {Level.BLOCKER: "bold red", Level.WARNING: "bold yellow", Level.NOTE: "bold cyan"}
_ORDER = (Level.BLOCKER, Level.WARNING, Level.NOTE)


def inspection_lines(inspection: Inspection) -> list[Line]:
    """The server and the table in a few facts."""
    server, table, scan = inspection.server, inspection.table, inspection.scan
    timescaledb = server.timescaledb_installed or "not installed"
    edition = f", {server.edition} edition" if server.edition else ""
    lines = [
        Line(f"PostgreSQL {server.version}, TimescaleDB {timescaledb}{edition}", mark="server"),
        Line(f"{table.name}, {size(table.total_bytes)} with indexes, owner {table.owner}", mark="table"),
    ]
    if scan is not None:
        span = f", {inspection.time_column} from {scan.minimum} to {scan.maximum}" if scan.rows else ""
        read = "read" if scan.rows_exact else "by the statistics, the times from an index,"
        lines.append(
            Line(
                f"{scan.about}{plural(scan.rows, 'row')}{span} ({read} in {duration(scan.seconds)})", mark="rows"
            )
        )
    elif table.estimated_rows >= 0:
        lines.append(Line(f"about {count(table.estimated_rows)}, by the statistics", mark="rows"))
    return lines


def findings_lines(findings: Sequence[Finding]) -> list[Line]:
    """All findings, the worst first, each with its remedy, and what they come to."""
    lines: list[Line] = []
    for level in _ORDER:
        for finding in (each for each in findings if each.level == level):
            lines.append(Line(""))
            lines.append(Line(finding.message, mark=f"{level} {finding.rule}:", mark_style=_STYLES[level]))
            if finding.remedy:
                lines.append(Line(finding.remedy, indent=2))
    lines += [Line(""), Line(summary(findings), style="bold")]
    return lines


def summary(findings: Sequence[Finding]) -> str:
    """'2 blockers, 1 warning, 0 notes.' and what that means."""
    numbers = {level: sum(1 for each in findings if each.level == level) for level in _ORDER}
    counted = ", ".join(plural(numbers[level], level.value) for level in _ORDER)
    if numbers[Level.BLOCKER]:
        return f"{counted}. The table cannot become a hypertable until the blockers are gone."
    accepts = sorted({each.accept for each in findings if each.accept})
    if accepts:
        wanted = " ".join(f"--accept {rule}" for rule in accepts)
        return f"{counted}. Nothing stands in the way; the cutover will want {wanted}."
    return f"{counted}. Nothing stands in the way."


def blocked(findings: Sequence[Finding]) -> bool:
    """True where a blocker is among them."""
    return any(each.level == Level.BLOCKER for each in findings)


def of_strategy(findings: Sequence[Finding], strategy: str) -> tuple[Finding, ...]:
    """The findings that hold for this strategy."""
    return tuple(each for each in findings if not each.strategies or strategy in each.strategies)
