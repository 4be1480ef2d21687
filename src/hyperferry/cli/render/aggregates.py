"""What a check of continuous aggregates found, for people and as JSON."""

from __future__ import annotations

from typing import Any

from hyperferry.model.upkeep import AggregateCheck, AggregateDifference, CheckReport
from hyperferry.words import duration, plural

from .text import Line

SHOWN = 20
"""Differences and buckets that are shown; JSON has all that the report carries."""


def check_json(report: CheckReport) -> dict[str, Any]:
    """The report as docs/commands.md has it."""
    return {
        "table": str(report.table),
        "match": report.match,
        "aggregates": [
            {
                "aggregate": str(each.aggregate),
                "match": each.match,
                "checked": each.checked,
                "different": list(each.different),
                "waiting": list(each.waiting),
                "dropped": list(each.dropped),
                "repaired": list(each.repaired),
                "differences": [_difference_json(d) for d in each.differences],
                "within_tolerance": list(each.rounded),
                "notes": list(each.notes),
            }
            for each in report.aggregates
        ],
        "tolerance": report.tolerance,
        "seconds": round(report.seconds, 3),
    }


def _difference_json(difference: AggregateDifference) -> dict[str, Any]:
    return {
        "bucket": difference.bucket,
        "kind": difference.kind,
        "group": difference.group,
        "values": {name: {"kept": kept, "raw": raw} for name, (kept, raw) in difference.values.items()},
    }


def check_lines(report: CheckReport) -> list[Line]:
    """An aggregate after the other."""
    lines: list[Line] = []
    for each in report.aggregates:
        lines += _aggregate(each, report)
    if report.match:
        lines.append(Line(f"Nothing differs ({duration(report.seconds)}).", style="bold green"))
    else:
        lines.append(Line("What is kept is not what the queries give.", style="bold red"))
        lines.append(
            Line(
                "`hyperferry check-aggregates TABLE --repair` refreshes these buckets and compares them again.",
                indent=2,
            )
        )
    return lines


def _aggregate(each: AggregateCheck, report: CheckReport) -> list[Line]:
    lines = [Line(f"{each.aggregate}: {plural(each.checked, 'bucket')} compared", style="bold")]
    if each.rounded:
        lines.append(
            Line(
                f"floats within {report.tolerance:g} of each other count as the same: {', '.join(each.rounded)}",
                indent=2,
            )
        )
    lines += [Line(note, indent=2) for note in each.notes]
    lines += _buckets(each.waiting, "differs, and waits for a refresh", "differ, and wait for a refresh")
    lines += _buckets(
        each.dropped,
        "differs, since rows that it was made of were dropped; do not refresh it",
        "differ, since rows that they were made of were dropped; do not refresh them",
    )
    if each.different:
        lines += _buckets(each.different, "DIFFERS", "DIFFER")
        for difference in each.differences[:SHOWN]:
            lines += _difference(difference)
        if len(each.differences) > SHOWN:
            lines.append(Line(f"... and {len(each.differences) - SHOWN} more rows", indent=4))
    if each.repaired:
        lines += _buckets(each.repaired, "refreshed, and is equal now", "refreshed, and are equal now")
    return lines


def _buckets(buckets: tuple[str, ...], one: str, many: str) -> list[Line]:
    if not buckets:
        return []
    more = f" and {len(buckets) - SHOWN} more" if len(buckets) > SHOWN else ""
    words = one if len(buckets) == 1 else many
    return [Line(f"{plural(len(buckets), 'bucket')} {words}: {', '.join(buckets[:SHOWN])}{more}", indent=2)]


def _difference(difference: AggregateDifference) -> list[Line]:
    group = ", ".join(
        f"{name} = {'NULL' if value is None else value}" for name, value in difference.group.items()
    )
    lines = [Line(group, indent=4, mark=difference.kind)]
    for name, (kept, raw) in difference.values.items():
        lines.append(
            Line(
                f"{name}: kept {'NULL' if kept is None else kept}, raw {'NULL' if raw is None else raw}",
                indent=6,
            )
        )
    return lines
