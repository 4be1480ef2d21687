"""A plan, for people."""

from __future__ import annotations

from collections.abc import Sequence

from hyperferry.model.plan import Plan
from hyperferry.words import one_line

from .text import Line


def plan_lines(description: Sequence[str]) -> list[Line]:
    """The plan in words, as the planner describes it; what is indented belongs to the line above it."""
    return [
        Line(text.strip(), indent=len(text) - len(text.lstrip()), style="bold" if number == 0 else "")
        for number, text in enumerate(description)
    ]


def sql_header(plan: Plan) -> str:
    """The comment above the statements of `plan --sql`."""
    what = f"What hyperferry {plan.hyperferry_version} does with {plan.table} ({plan.strategy}), in order."
    return (
        f"-- {one_line(what)}\n"
        "-- To read, not to run: copying, applying and checking happen between these statements."
    )
