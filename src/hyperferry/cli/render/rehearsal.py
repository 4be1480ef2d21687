"""A rehearsal, for people."""

from __future__ import annotations

from hyperferry.rehearsal.options import RehearsalReport, Status
from hyperferry.words import duration, plural

from .text import Line

_STYLES = {
    Status.PASSED: "bold green",
    Status.REFUSED: "bold red",
    Status.FAILED: "bold red",
    Status.SKIPPED: "dim",
}


def rehearsal_lines(report: RehearsalReport) -> list[Line]:
    """Where it was rehearsed, each step with what came of it, what the rehearsal could not show, and what it comes to."""
    lines = [
        Line(report.table, mark="rehearsal of"),
        Line(report.real_server, mark="real server", indent=2),
        Line(report.rehearsed_on, mark="rehearsed on", indent=2),
    ]
    for step in report.steps:
        text = f"{step.name}: {step.message}" + (f" ({duration(step.seconds)})" if step.seconds else "")
        lines.append(Line(text, mark=f"{step.status}", mark_style=_STYLES[step.status]))
        lines += [Line(detail, indent=4) for detail in step.details]
        if step.remedy:
            lines.append(Line(step.remedy, indent=4, mark="What to do:"))
    lines += [Line(text, mark="warning", mark_style="bold yellow") for text in report.warnings]
    took = f"({duration(report.seconds)})"
    if report.passed:
        warned = f", {plural(len(report.warnings), 'warning')}" if report.warnings else ""
        lines.append(Line(f"The whole job passed{warned} {took}.", style="bold green"))
    else:
        lines.append(Line(f"The job would not pass as it is {took}.", style="bold red"))
    return lines
