"""Lengths that do not fit the time column: intervals for an integer, numbers for a time."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.declared import Refresh, Retention, Span
from ...model.difference import Refusal
from ..of_table import wanted_interval
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """Lengths that do not fit the time column: intervals for an integer, numbers for a time."""
    state = case.state
    column = f"the time column {state.time_column!r} ({state.time_type})"
    remedy = (
        "give a whole number in the column's own unit, without quotes."
        if state.integer_time
        else "give a number with a unit, such as '30 days'."
    )
    if case.declared.chunk_interval is not None and wanted_interval(case) is None:
        yield refusal(
            "chunk_interval",
            f"chunk_interval {case.declared.chunk_interval!r} does not fit {column}; now it is {state.interval}.",
            remedy + " A month or a year is no width of a chunk: its length is not fixed.",
        )
    for relation in case.relations:
        wishes: dict[str, list[Span | None]] = {
            "compression-policy": [],
            "retention-policy": [],
            "refresh-policy": [],
        }
        if relation.compression is not None and isinstance(relation.compression.after, Span):
            wishes["compression-policy"].append(relation.compression.after)
        if isinstance(relation.retention, Retention):
            wishes["retention-policy"].append(relation.retention.after)
        if isinstance(relation.refresh, Refresh):
            wishes["refresh-policy"] += [relation.refresh.start_offset, relation.refresh.end_offset]
        for word, spans in wishes.items():
            for span in (
                each
                for each in spans
                if each is not None and each.integer != state.integer_time and each != Span()
            ):
                yield refusal(
                    relation.key(word),
                    f"{span} in the {word.partition('-')[0]} of {relation.name} does not fit {column}.",
                    remedy,
                )
    updates = case.declared.updates_within
    if updates is not None and updates.integer != state.integer_time:
        yield refusal("updates_within", f"updates_within {updates} does not fit {column}.", remedy)
