"""A refresh window that reaches behind retention: refreshing there deletes the aggregate's rows."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.declared import Span
from ...model.difference import Refusal
from ..outcome import Case, Relation
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """A refresh window that reaches behind retention: refreshing there deletes the aggregate's rows."""
    for relation in case.aggregates:
        refresh = relation.refreshed
        if refresh is None:
            continue
        sources = [each for each in (case.named(name) for name in relation.reads) if each is not None]
        for source in (*sources, relation):
            kept = source.retained
            if kept is None or not _declares(relation, source):
                continue
            start = refresh.start_offset
            if start is not None and (start.integer != kept.integer or not start.may_exceed(kept)):
                continue
            back = f"{start}" if start is not None else "the first row (it has no start_offset)"
            if start is not None and start.months and start.about <= kept.about:
                back += f", which can be {start.days[1]} days"
            if source is relation:
                message = (
                    f"The refresh window of {relation.name} reaches back to {back}, and its own rows are dropped after "
                    f"{_at_least(kept, start)}: each refresh "
                    "would make again what retention has dropped."
                )
            else:
                message = (
                    f"The refresh window of {relation.name} reaches back to {back}, and rows of {source.name} are dropped "
                    f"after {_at_least(kept, start)}: a "
                    "refresh of what is gone deletes it from the aggregate as well."
                )
            yield refusal(
                relation.key("refresh-policy"),
                message,
                f"give a start_offset of {kept} at most, or a longer retention.",
            )


def _at_least(kept: Span, start: Span | None) -> str:
    """The retention; where only the calendar tells that it is the shorter one, with its length."""
    close = start is not None and kept.months and start.about <= kept.about
    return f"{kept}, which can be {kept.days[0]} days" if close else f"{kept}"


def _declares(relation: Relation, source: Relation) -> bool:
    """Whether the file says one of the two: what it leaves alone is not for it to judge."""
    return relation.refresh is not None or source.retention is not None
