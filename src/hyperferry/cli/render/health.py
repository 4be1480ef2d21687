"""What health found, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from hyperferry.model.health import HealthReport, Severity
from hyperferry.words import count, duration, plural, size

from .text import Line

_STYLES = {Severity.CRITICAL: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}


def health_json(report: HealthReport) -> dict[str, Any]:
    """The stable keys: table, findings, figures."""
    return {
        "table": report.table,
        "examined": report.examined,
        "findings": [{**asdict(each), "level": each.level.value} for each in report.findings],
        "figures": report.figures,
    }


def health_lines(report: HealthReport) -> list[Line]:
    """The figures in a few lines, then the findings, the worst first."""
    lines = _figures(report)
    for each in report.findings:
        lines.append(Line(""))
        lines.append(Line(each.message, mark=f"{each.level} {each.rule}:", mark_style=_STYLES[each.level]))
        lines.append(Line(each.remedy, indent=2))
        if each.command:
            lines.append(Line(each.command, indent=2, mark="command:", mark_style="dim"))
    numbers = {level: sum(1 for each in report.findings if each.level == level) for level in Severity}
    counted = ", ".join(
        f"{numbers[level]} {level.value}" if level is Severity.CRITICAL else plural(numbers[level], level.value)
        for level in Severity
    )
    return [*lines, Line(""), Line(f"{counted}." if report.findings else "Nothing found that needs anybody.", style="bold")]


def _figures(report: HealthReport) -> list[Line]:
    figures = report.figures
    compressed = f", {count(figures['chunks_compressed'])} compressed" if figures["chunks_compressed"] else ""
    ratio = f" ({figures['compression_ratio']} times smaller)" if figures["compression_ratio"] else ""
    growth = ""
    if figures["chunks_in_a_year"] is not None:
        growth = (
            f"; {count(figures['chunks_a_year_expected'])} a year by the interval, {count(figures['chunks_a_year_measured'])} "
            "by the "
            f"last ones, {count(figures['chunks_in_a_year'])} in a year"
        )
    interval = figures["chunk_interval"]
    width = duration(interval) if isinstance(interval, float) else count(interval)
    lines = [
        Line(f"TimescaleDB {figures['timescaledb']}, {figures['edition']} edition", mark="server"),
        Line(f"{report.examined}, owner {figures['owner']}", mark="hypertable"),
        Line(f"{plural(figures['chunks'], 'chunk')} of {width}{compressed}{ratio}{growth}", mark="chunks"),
    ]
    if figures["chunks"]:
        lines.append(Line(f"{figures['first']} to {figures['last']}, about {count(figures['rows'])} rows", mark="rows"))
        lines.append(
            Line(
                f"{size(figures['bytes'])}: table {size(figures['table_bytes'])}, indexes {size(figures['index_bytes'])}, "
                f"TOAST {size(figures['toast_bytes'])}",
                mark="size",
            )
        )
    return lines
