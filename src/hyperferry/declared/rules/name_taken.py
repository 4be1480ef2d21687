"""Names that something else has already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ...model.difference import Refusal
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """Names that something else has already."""
    indexes = [index.name for index in case.declared.indexes if index.name is not None]
    here = [
        reading.name.name
        for reading in case.readings.aggregates
        if reading.name.schema == case.state.name.schema
    ]
    for reading in case.readings.aggregates:
        key = f"aggregate:{reading.name}"
        if reading.taken is not None:
            yield refusal(
                key,
                f"{reading.name} is {reading.taken} already.",
                "give the continuous aggregate another name, or rename or drop what has it.",
            )
        if reading.name == case.state.name:
            yield refusal(
                key, f"{reading.name} is the table itself.", "give the continuous aggregate another name."
            )
    for name, count in Counter(indexes + here).items():
        if count > 1:
            yield refusal(
                f"index:{name}",
                f"The file gives the name {name!r} to an index and to a continuous aggregate.",
                "rename one of them.",
            )
