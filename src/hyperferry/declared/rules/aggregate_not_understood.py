"""Queries of continuous aggregates that the server does not understand, or that are not about this table."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.difference import Refusal
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """Queries of continuous aggregates that the server does not understand, or that are not about this table."""
    ours = {case.state.name, *(each.name for each in case.aggregates)}
    for reading in case.readings.aggregates:
        key = f"aggregate:{reading.name}"
        if reading.problem is not None and not reading.cycle:
            yield refusal(
                key,
                f"The query of {reading.name} is not understood: {reading.problem}.",
                "correct the query; names are looked for in your role's search path, then in the table's schema.",
            )
        if reading.query is not None and not any(name in ours for name in reading.reads):
            names = ", ".join(map(str, reading.reads)) or "nothing"
            yield refusal(
                key,
                f"{reading.name} reads {names}, and neither {case.state.name} nor a continuous aggregate over it.",
                "name the table with its schema, or declare the aggregate in the file of the table that it is about.",
            )
