"""Continuous aggregates that read each other in a circle."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.difference import Refusal
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """Continuous aggregates that read each other in a circle."""
    for reading in case.readings.aggregates:
        if reading.cycle:
            way = " reads ".join(map(str, (*reading.cycle, reading.name)))
            yield refusal(
                f"aggregate:{reading.name}",
                f"{way}.",
                "let one of them read the table, or take it out of the file.",
            )
