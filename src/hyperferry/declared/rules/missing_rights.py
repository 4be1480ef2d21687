"""A role that is not the table's owner: it could do none of the steps."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.difference import Refusal
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """A role that is not the table's owner: it could do none of the steps."""
    if not case.server.acts_as_owner and not case.declared.empty:
        yield refusal(
            "owner",
            f"{case.state.name} belongs to {case.state.owner}, and {case.server.session} has not that role's rights: it "
            f"could do none of this.",
            f"connect as {case.state.owner}, or as a role that is a member of it.",
        )
