"""What a verification found, for people."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table

from hyperferry.model.report import VerifyReport
from hyperferry.words import count, duration, plural, visible

from .text import Line

SHOWN = 20
"""Differences and groups that are shown; JSON has all that the report carries."""


def verify_lines(table: str, report: VerifyReport, *, by: str | None) -> list[Line | RenderableType]:
    """The verdict, the ranges that differ, the first differences, and the groups that were asked for."""
    lines: list[Line | RenderableType] = [
        Line(
            f"{count(report.source_rows)} rows in the plain table, "
            f"{count(report.target_rows)} in the hypertable, "
            f"{plural(len(report.ranges), 'range')}, {duration(report.seconds)}",
            mark=table,
        )
    ]
    if report.excused:
        lines.append(
            Line(
                f"{plural(report.excused, 'row')} differ only by changes that are still on their way",
                indent=2,
            )
        )
    if report.quarantined:
        lines.append(Line(f"{plural(report.quarantined, 'row')} in quarantine (see status)", indent=2))
    if report.repaired:
        lines.append(Line(f"{plural(report.repaired, 'row')} repaired and verified again", indent=2))
    for each in (each for each in report.ranges if not each.match):
        lines.append(
            Line(
                f"{each.start or 'the beginning'} to {each.end or 'the end'}: "
                f"{count(each.source_rows)} and {count(each.target_rows)} rows",
                indent=2,
                mark="range differs",
                mark_style="bold red",
            )
        )
    for difference in report.differences[:SHOWN]:
        pair = ", ".join(f"{k} = {'NULL' if v is None else v}" for k, v in difference.pair.items())
        lines.append(Line(pair, indent=4, mark=difference.kind))
    if report.difference_count > SHOWN:
        lines.append(Line(f"... and {count(report.difference_count - SHOWN)} more", indent=4))
    if by is not None:
        lines.append(_groups(by, report))
    if report.match:
        lines.append(Line("The two hold the same rows, value for value.", style="bold green"))
    else:
        lines.append(Line(f"{plural(report.difference_count, 'difference')}.", style="bold red"))
        lines.append(
            Line("`hyperferry verify TABLE --repair` carries these rows over again, and verifies.", indent=2)
        )
    return lines


def _groups(by: str, report: VerifyReport) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column(visible(by))
    for name in ("plain table", "hypertable", ""):
        table.add_column(name, justify="right")
    ordered = sorted(report.groups, key=lambda group: group.match)
    for group in ordered[:SHOWN]:
        table.add_row(
            visible("NULL" if group.group is None else group.group),
            count(group.source_rows),
            count(group.target_rows),
            "same" if group.match else "DIFFERENT",
        )
    if len(ordered) > SHOWN:
        table.add_row(f"... and {count(len(ordered) - SHOWN)} more groups", "", "", "")
    return table
