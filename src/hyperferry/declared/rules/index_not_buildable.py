"""Indexes that cannot be built: not understood, or in the way of one that is there under the name or with the definition."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.difference import Refusal
from ..outcome import Case
from ..parts import reading_key
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """Indexes that cannot be built: not understood, or in the way of one that is there under the name or with the definition."""
    for relation in case.relations:
        for reading in relation.index_readings:
            columns = ", ".join(reading.index.columns)
            key = reading_key(relation, reading)
            if reading.problem is not None:
                yield refusal(
                    key,
                    f"The index on {columns} of {relation.name} is not understood: {reading.problem}.",
                    "write columns, expressions and the predicate as they stand in CREATE INDEX.",
                )
            elif reading.refused is not None:
                yield refusal(key, reading.refused, reading.remedy or "correct the file.")
            elif reading.index.unique and relation.suffix:
                yield refusal(
                    key,
                    f"{relation.name} is a continuous aggregate, and takes no unique index.",
                    "leave `unique` out: its groups are unique already.",
                )
