"""A continuous aggregate that is to go, while another one reads it."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.difference import Refusal
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """A continuous aggregate that is to go, while another one reads it."""
    for relation in case.aggregates:
        key = f"aggregate:{relation.name}"
        if key not in case.prune or relation.declared is not None:
            continue
        readers = [
            each
            for each in case.read_by(relation.name)
            if f"aggregate:{each.name}" not in case.prune or each.declared is not None
        ]
        if readers:
            yield refusal(
                key,
                f"{relation.name} is read by {', '.join(str(each.name) for each in readers)}.",
                "prune those as well, or keep it.",
            )
