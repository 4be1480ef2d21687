"""A part of the table has something that cannot be carried over."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A part of the table has something that cannot be carried over."""
    for sentence in inspection.odd_parts:
        yield blocker(
            f"{inspection.table.name} cannot be carried over as it is: {sentence}.",
            "take that off (ALTER ... NO DEPENDS ON EXTENSION, COMMENT ON TYPE ... IS NULL, GRANT USAGE ON TYPE ... "
            "TO PUBLIC), and set it again "
            "after the cutover if it is still wanted.",
            only=BLUE_GREEN,
        )
    for constraint in inspection.constraints:
        if not constraint.ordinary:
            yield blocker(
                f"The triggers that see to the constraint {constraint.name} are not enabled in the ordinary "
                "way; those of a constraint that "
                "is made anew would be.",
                f"ALTER TABLE {inspection.table.name.quoted} ENABLE TRIGGER ALL; (as a superuser)",
                only=BLUE_GREEN,
            )
