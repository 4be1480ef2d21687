"""A reorder policy by an index that is neither there nor declared."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.difference import Refusal
from ...model.names import quoted_if_needed
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """A reorder policy by an index that is neither there nor declared."""
    wish = case.declared.reorder
    if not wish:
        return
    there = {index.name for index in case.state.indexes} | {
        each.name for each in case.readings.indexes if each.name is not None
    }
    if wish.index not in there:
        yield refusal(
            "reorder-policy",
            f"[reorder] names the index {quoted_if_needed(wish.index)}, which {case.state.name} does not have.",
            f"name one of {', '.join(sorted(map(quoted_if_needed, there))) or 'none: it has no index'}, or declare it as "
            f"[[index]].",
        )
    pruned = f"index:{quoted_if_needed(wish.index)}"
    if pruned in case.prune:
        yield refusal(pruned, "The index is to go, and [reorder] needs it.", "leave one of them out.")
