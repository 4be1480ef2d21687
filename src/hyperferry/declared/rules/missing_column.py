"""segment_by and order_by columns that are not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from ...model.difference import Refusal
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """segment_by and order_by columns that are not there."""
    for relation in case.relations:
        wish = relation.compression
        if wish is None or not relation.columns:
            continue
        for word, names in (
            ("segment_by", wish.segment_by or ()),
            ("order_by", tuple(each.column for each in wish.order_by or ())),
        ):
            for name in (name for name in names if name not in relation.columns):
                near = difflib.get_close_matches(
                    name.lower(), [each.lower() for each in relation.columns], n=1
                )
                meant = [each for each in relation.columns if each.lower() in near]
                yield refusal(
                    relation.key("compression"),
                    f"{word} names the column {name!r}, which {relation.name} does not have"
                    f"{f'; did you mean {meant[0]!r}?' if meant else ''} (it has {', '.join(relation.columns)}).",
                    "correct the name; it is read as in SQL, so that capitals want double quotes.",
                )
