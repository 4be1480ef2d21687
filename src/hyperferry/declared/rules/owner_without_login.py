"""Policies of a table whose owner may not log in: their jobs would not run."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.difference import Refusal
from ...model.names import quote_ident
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """Policies of a table whose owner may not log in: their jobs would not run."""
    if case.server.owner_may_login or not case.server.community:
        return
    for relation in case.relations:
        wishes = {
            "retention-policy": bool(relation.retention),
            "compression-policy": bool(relation.compression and relation.compression.after),
            "refresh-policy": bool(relation.refresh),
            "reorder-policy": bool(case.declared.reorder) and relation is case.root,
        }
        for word in (word for word, wanted in wishes.items() if wanted):
            yield refusal(
                relation.key(word),
                f"{relation.name} belongs to {case.state.owner}, a role without LOGIN: TimescaleDB runs no job in its name.",
                f"ALTER ROLE {quote_ident(case.state.owner)} LOGIN (without a password nobody gets in by one), or give the table "
                "to a role that has it.",
            )
