"""Rows far from all others in time, rows in the future, and rows without a time."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.advice import Caution
from ...model.names import quote_ident
from ...words import count
from ..case import Case

DAY = 86_400.0


def check(case: Case) -> Iterator[Caution]:
    """What makes chunks of its own, or holds policies up."""
    d, spread = case.d, case.d.spread
    if spread is None:
        return
    table, time = d.inspection.table.name.quoted, quote_ident(case.time.name)
    if spread.far_places:
        shown = ", ".join(d.axis.place_words(place) for place in spread.far_places)
        about = "" if spread.exact else "about "
        yield Caution(
            "outliers",
            f"{about}{count(max(1, round(spread.far_rows)))} rows lie far from the rest in {case.time_sql} ({shown}; "
            "the bulk goes from "
            f"{d.axis.place_words(spread.low)} to {d.axis.place_words(spread.high)}): each makes a chunk of its own, "
            "and those in the "
            "future are never compressed or dropped",
            f"look at them, and correct or delete what is a mistake: SELECT * FROM {table} ORDER BY {time} DESC LIMIT 10;",
        )
    elif d.now is not None and d.axis.per_second and spread.last > d.now + DAY * d.axis.per_second:
        yield Caution(
            "future-rows",
            f"the last row is {d.axis.width_words(spread.last - d.now)} in the future "
            f"({d.axis.place_words(spread.last)}): policies count "
            "back from now",
            f"fine for plans and forecasts; else look at them: SELECT * FROM {table} ORDER BY {time} DESC LIMIT 10;",
        )
    if d.nulls >= 1:
        yield Caution(
            "no-time",
            f"about {count(round(d.nulls))} rows have no usable {case.time_sql} (NULL, infinite, or a uuid that is no "
            "version 7): a "
            "hypertable takes none of them",
            f"give them one, or delete them, before the move: SELECT * FROM {table} WHERE {time} IS NULL LIMIT 10;",
        )
    if d.hypertable and d.axis.integer and not d.integer_now:
        yield Caution(
            "integer-now",
            f"{case.time_sql} is an integer, and the hypertable has no function that says what time it is: no policy "
            "can be made",
            "SELECT set_integer_now_func(...) with a STABLE function that gives now in the column's unit",
        )
