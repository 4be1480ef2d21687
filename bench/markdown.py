"""docs/speed.md: the newest kept figures as a page of tables, and what is to be said about them by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from .derived import WITH_ANALYZE
from .kept import newest, number, rounds, verdict
from .result import Figure, Ratio, Result
from .words import case as words_for

INDEXES_AFTER = ", indexes after"
PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
NOTES = Path(__file__).with_name("notes.md")
INTRO = """# How fast, and at what cost

What `make bench` measured last. (`python -m bench page` writes this page from the results kept in `bench/results`, and
what is said by hand from `bench/notes.md`; change nothing here.) The ways that are compared are measured in turn, round
after round, in one run on one server of its own with fsync on. Seconds of two machines cannot be compared, ratios of
one run can. Each figure is the median of the rounds; in brackets the smallest and the largest: where there was one
round, nothing tells how far a figure is from chance. PostgreSQL 18 computes checksums of data pages by default and 17
does not; the bench leaves it at that, so figures of the two differ by that too.
"""


def render(results: Sequence[Result], notes: str = "") -> str:
    """The page for these kept results, with the notes at its end."""
    current = newest(results)
    parts = [INTRO]
    if not current:
        parts.append("Nothing is kept yet.\n")
    aims = [
        [_where(result, row), _value(row), rounds(row), _aim(row).removeprefix("aim "), _beside(result, row)]
        for result in current
        for row in result.aimed
    ]
    if aims:
        parts.append("## The aims\n\n" + _table(["", "measured", "on", "aim", "beside it, without an aim"], aims))
    for name, own in groupby(current, key=lambda result: result.name):
        parts.append(f"## {words_for(name).title}\n\n{words_for(name).about}\n")
        parts += [_section(result) for result in own]
    if notes.strip():
        parts.append(notes.strip() + "\n")
    return "\n".join(parts)


def _section(result: Result) -> str:
    said = ", ".join(f"{key.replace('_', ' ')} {_fact(value)}" for key, value in result.machine.items())
    parts = [f"Measured {result.at[:10]} at revision {result.revision}: {said}.\n", *tables(result)]
    return "\n".join(parts)


def _fact(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def tables(result: Result) -> list[str]:
    """For each case its figures and its ratios, and what could not be measured."""
    parts = [f"Not measured: {line}\n" for line in result.missing]
    for case in result.cases:
        parts.append(f"**{case}**\n")
        if figures := [figure for figure in result.figures if figure.case == case]:
            parts.append(_grid(figures))
        if ratios := [ratio for ratio in result.ratios if ratio.case == case]:
            parts.append(_grid(ratios))
    return parts


def _grid(found: Sequence[Figure | Ratio]) -> str:
    """A row for each of whom, a column for each thing measured."""
    headings = list(dict.fromkeys(one.heading for one in found))
    cells = {
        (one.label, one.heading): _value(one) + (f"; {_aim(one)}" if one.aim is not None else "")
        for one in found
    }
    rows = [
        [label, *(cells.get((label, heading), "") for heading in headings)]
        for label in dict.fromkeys(one.label for one in found)
    ]
    return _table(["", *headings], rows)


def _value(row: Figure | Ratio) -> str:
    if len(row.values) == 1:
        return number(row.median)
    return f"{number(row.median)} ({number(min(row.values))} to {number(max(row.values))})"


def _where(result: Result, row: Figure | Ratio) -> str:
    unit = f", {row.unit}" if isinstance(row, Figure) else ""
    return f"{words_for(result.name).title}: {row.title}{unit}; {row.case}"


def _beside(result: Result, row: Figure | Ratio) -> str:
    """Of a conversion's ratio: the same with each side's ANALYZE, and over the other way that the documentation has; '' where
    they were not measured."""
    if not isinstance(row, Ratio):
        return ""
    ratios = {(ratio.over, ratio.what): ratio for ratio in result.ratios if (ratio.case, ratio.who) == (row.case, row.who)}
    found = []
    if analyzed := ratios.get((row.over, WITH_ANALYZE)):
        found.append(f"{WITH_ANALYZE} {number(analyzed.median)}")
    if other := ratios.get((row.over + INDEXES_AFTER, "")):
        found.append(f"over {other.over} {number(other.median)}")
    return "; ".join(found)


def _aim(row: Figure | Ratio) -> str:
    return verdict(row).replace("MISSED", "**missed**")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
