"""A refresh window that covers less than two buckets: it can be that none of them is ever refreshed."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.declared import Refresh
from ...model.difference import Refusal
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """A refresh window that covers less than two buckets: it can be that none of them is ever refreshed."""
    for relation in case.aggregates:
        wish, bucket = relation.refresh, relation.bucket
        if (
            not isinstance(wish, Refresh)
            or bucket is None
            or wish.start_offset is None
            or wish.end_offset is None
        ):
            continue
        first, last = wish.start_offset, wish.end_offset
        if first.integer == last.integer == bucket.integer and first.about - last.about < 2 * bucket.about:
            yield refusal(
                relation.key("refresh-policy"),
                f"The refresh window of {relation.name}, from {first} to {last} ago, covers less than two buckets of {bucket}.",
                f"make start_offset longer: end_offset ({last}) and twice {bucket} at least.",
            )
