"""Compression of chunks whose rows are still updated."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.declared import Span
from ...model.difference import Refusal
from ..outcome import Case, Relation
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """Compression of chunks whose rows are still updated."""
    root = case.root
    updates = case.declared.updates_within
    if updates is not None and _declared(root) and _inside(root.compressed_after, updates):
        yield refusal(
            "compression-policy",
            f"Chunks are compressed after {root.compressed_after}, and rows are updated within {updates} (updates_within): "
            f"an update of "
            "compressed rows decompresses their segment first.",
            f"give [compression] an `after` of {updates} or more.",
        )
    for relation in case.aggregates:
        start = relation.refreshed.start_offset if relation.refreshed is not None else None
        if start is None:
            continue
        if (
            updates is None
            and root.name in relation.reads
            and _declared(root, relation)
            and _inside(root.compressed_after, start)
        ):
            yield refusal(
                "compression-policy",
                f"Chunks are compressed after {root.compressed_after}, and {relation.name} is refreshed from {start} ago, "
                f"as rows of that "
                "age are still expected to change.",
                f"give [compression] an `after` of {start} or more; or say in the file how late rows really change, as in "
                "updates_within = '1 day'.",
            )
        if _declared(relation) and _inside(relation.compressed_after, start):
            yield refusal(
                relation.key("compression-policy"),
                f"Rows of {relation.name} are compressed after {relation.compressed_after}, and each refresh writes them "
                f"anew from {start} ago.",
                f"compress it after {start} or more, or give the refresh a shorter start_offset.",
            )


def _inside(after: Span | None, window: Span) -> bool:
    return after is not None and window.may_exceed(after)


def _declared(*relations: Relation) -> bool:
    return any(each.compression is not None or each.refresh is not None for each in relations)
