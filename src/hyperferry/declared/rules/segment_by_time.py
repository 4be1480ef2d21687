"""segment_by on the time column, or on a column of order_by: nothing would be compressed together."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.difference import Refusal
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """segment_by on the time column, or on a column of order_by: nothing would be compressed together."""
    for relation in case.relations:
        wish = relation.compression
        if wish is None or not wish.segment_by:
            continue
        if relation is case.root and case.state.time_column in wish.segment_by:
            yield refusal(
                "compression",
                f"segment_by names the time column {case.state.time_column!r}: each moment would be a segment of its own, "
                f"of a row or a few.",
                "put the time into order_by, and into segment_by a column that many rows of a chunk share.",
            )
        both = [each.column for each in wish.order_by or () if each.column in wish.segment_by]
        for name in both:
            yield refusal(
                relation.key("compression"),
                f"{name!r} stands in segment_by and in order_by of {relation.name}: within a segment it is the same in all rows.",
                "leave it out of one of them.",
            )
