"""Retention: recommended only where something shows that old rows are deleted already, all of them; else what one would save."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...model.advice import Recommendation
from ...words import count, size
from ..case import Case, nice, nice_words
from ..editions import APACHE_RETENTION
from ..spreads import bytes_per_row, rows_per_year

_AGE = re.compile(r"interval\s*'([^']+)'|'([^']+)'::interval", re.I)
DAY = 86_400.0


def check(case: Case) -> Iterator[Recommendation]:
    """A retention after the age that deletes leave, where there are such deletes."""
    d, spread = case.d, case.d.spread
    if spread is None or d.now is None or d.axis.per_second is None:
        yield Recommendation(
            "retention",
            "Retention: not recommended",
            ("there are no rows, or the unit of the time is not known",),
        )
        return
    on_time = [shape for shape in case.shapes if shape.kind == "delete" and case.time.name in shape.asked]
    deletes = [shape for shape in on_time if shape.older]
    oldest = (d.now - spread.low) / d.axis.per_second
    yearly = rows_per_year(d, spread)
    growth = (
        ""
        if yearly is None
        else f"a year brings about {count(round(yearly))} rows, {size(yearly * bytes_per_row(d))} "
        "with indexes"
    )
    numbers: list[tuple[str, object]] = [
        ("oldest_days", round(oldest / DAY, 1)),
        ("rows_a_year", None if yearly is None else round(yearly)),
        ("deletes_by_time", sum(shape.weight for shape in deletes)),
    ]
    if not deletes:
        deleted = 0 if d.writes is None else d.writes.deleted
        lines = [
            f"nothing shows that old rows may go: no DELETE of whatever is older than some {case.time_sql} was seen"
            + (f" ({d.statements_missing})" if d.statements_missing else "")
            + (f", though {count(deleted)} deleted rows were counted" if deleted else ""),
            f"how long rows are needed is for you to say: the oldest is {oldest / DAY:,.0f} days old; {growth}",
        ]
        if on_time:
            lines.append(
                f"a DELETE by {case.time_sql} that asks for something else too, or for newer rows, does not show it: "
                f"{' '.join(on_time[0].use.text.split())[:200]}"
            )
        yield Recommendation("retention", "Retention: not recommended", tuple(lines), tuple(numbers))
        return
    said = [match for shape in deletes for match in _AGE.findall(shape.use.text)]
    ages = [text for pair in said for text in pair if text]
    after = nice(oldest)
    lines = [
        f"rows are deleted by their time already: {deletes[0].use.source}, "
        f"{count(sum(shape.weight for shape in deletes))} calls: "
        f"{' '.join(deletes[0].use.text.split())[:200]}",
        f"the oldest row left is {oldest / DAY:,.1f} days old, so rows live about {nice_words(after)} (rounded up)",
        "drop_chunks takes whole chunks away, with no dead rows left to vacuum; a chunk goes when all of it is older",
        growth,
    ]
    if ages:
        lines.append(
            f"the statement names {', '.join(sorted(set(ages)))}: if that is the age meant, write it instead"
        )
    yield Recommendation(
        "retention",
        f"Retention after {nice_words(after)}",
        tuple(line for line in lines if line),
        (*numbers, ("after_seconds", after)),
        toml=f"[retention]\nafter = {case.length(after)}",
        unavailable=None if case.community else APACHE_RETENTION,
    )
