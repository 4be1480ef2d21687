"""Another query for a continuous aggregate that is there: it cannot be changed, and is never dropped silently."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.difference import Refusal
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """Another query for a continuous aggregate that is there: it cannot be changed, and is never dropped silently."""
    for relation in case.aggregates:
        state, reading = relation.state, relation.reading
        if state is None or reading is None or reading.query is None or reading.query == state.query:
            continue
        yield refusal(
            f"aggregate:{relation.name}",
            f"{relation.name} is there with another query, and a continuous aggregate's query cannot be changed. "
            f"It has: {state.query}. The file wants: {reading.query}.",
            "declare the new one under another name beside it, apply, let readers move over, then take the old one out of "
            "the file and "
            f"`hyperferry apply --prune aggregate:{relation.name}`. Where the raw rows are dropped already the new one "
            f"cannot be made from them.",
        )
