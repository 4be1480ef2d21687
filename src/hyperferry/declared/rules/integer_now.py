"""Policies on an integer time column for which no function tells the present."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.declared import Refresh, Retention, Span
from ...model.difference import Refusal
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """Policies on an integer time column for which no function tells the present."""
    if not case.state.integer_time or case.state.now_function is not None or not case.server.community:
        return
    for relation in case.relations:
        wishes = {
            "retention-policy": isinstance(relation.retention, Retention),
            "compression-policy": relation.compression is not None
            and isinstance(relation.compression.after, Span),
            "refresh-policy": isinstance(relation.refresh, Refresh),
        }
        for word in (word for word, wanted in wishes.items() if wanted):
            yield refusal(
                relation.key(word),
                f"{case.state.time_column!r} is an integer, and no function tells what its present is: a policy would not "
                f"know how old a row is.",
                f"make a STABLE function without arguments that gives the present in the column's unit as "
                f"{case.state.time_type}, then SELECT "
                f"{case.server.functions}.set_integer_now_func('{case.state.name.quoted}', 'that_function').",
            )
