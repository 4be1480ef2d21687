"""Continuous aggregates: made without data, then refreshed in windows, then put into the care of their policies."""

from __future__ import annotations

from ..model.difference import Confirm, Kind, Step, Unmanaged, Work
from . import of_compression, policies
from .of_table import indexes
from .outcome import Relation
from .parts import Parts, Turn


def aggregates(parts: Parts) -> None:
    """Each in its order: it, its indexes, its first refresh, its compression; the policies come later. What goes does so
    before what it reads."""
    for relation in reversed([each for each in parts.case.aggregates if each.declared is None]):
        _unmentioned(parts, relation)
    for relation in (each for each in parts.case.aggregates if each.declared is not None):
        if not relation.there:
            _create(parts, relation)
        else:
            _kept(parts, relation)
        indexes(parts, relation, Turn.AGGREGATES)
        _first_refresh(parts, relation)
        of_compression.settings(parts, relation, Turn.AGGREGATES)
        policies.refresh(parts, relation, Turn.POLICIES)
        of_compression.policy(parts, relation)
        policies.retention(parts, relation)


def _create(parts: Parts, relation: Relation) -> None:
    assert relation.declared is not None
    reads = ", ".join(map(str, relation.reads)) or str(parts.case.state.name)
    trigger = parts.case.server.aggregate_trigger
    parts.steps.append(
        (
            Turn.AGGREGATES,
            Step(
                key=f"aggregate:{relation.name}",
                kind=Kind.ADD,
                what=f"the continuous aggregate {relation.name} over {reads}, without data",
                why="the file declares it; with data it would be refreshed in one transaction, so that comes afterwards, "
                "in windows",
                statements=(parts.make.create_aggregate(relation.name, relation.declared),),
                lock="SHARE ROW EXCLUSIVE on what it reads and its chunks, for milliseconds: writers wait"
                if trigger
                else "none that a writer or reader could meet",
                back=f"DROP MATERIALIZED VIEW {relation.name.quoted}",
                relation=relation.reads[0] if relation.reads else parts.case.state.name,
                lock_mode="SHARE ROW EXCLUSIVE" if trigger else None,
            ),
        )
    )


def _kept(parts: Parts, relation: Relation) -> None:
    """One that is there. Another query is refused by a rule: an aggregate's query cannot be changed."""
    assert relation.declared is not None
    assert relation.state is not None
    key = f"aggregate:{relation.name}"
    wish, now = relation.declared.materialized_only, relation.state.materialized_only
    if wish is None or wish == now:
        parts.same.append(f"{key}: {relation.state.query}")
        return
    said = {True: "what is materialized alone", False: "the newest rows as well, aggregated as they are read"}
    parts.steps.append(
        (
            Turn.AGGREGATES,
            Step(
                key=f"materialized-only:{relation.name}",
                kind=Kind.CHANGE,
                what=f"queries of {relation.name} see {said[wish]}",
                why=f"the file says materialized_only = {str(wish).lower()}",
                statements=(parts.make.materialized_only(relation.name, wish),),
                lock="ACCESS EXCLUSIVE on the aggregate, for milliseconds",
                back="the same statement with the other value",
                relation=relation.name,
            ),
        )
    )


def _first_refresh(parts: Parts, relation: Relation) -> None:
    if relation.there and not (relation.reading is not None and relation.reading.unrefreshed):
        return
    source = parts.case.named(relation.reads[0]) if relation.reads else None
    filled = source is not None and source.reading is not None and source.reading.unrefreshed
    if not relation.there and source is not None and source.there and not source.chunks and not filled:
        return  # nothing is there to be refreshed from, nor will be by a step before
    parts.steps.append(
        (
            Turn.AGGREGATES,
            Step(
                key=f"refresh:{relation.name}",
                kind=Kind.CHANGE,
                what=f"{relation.name} is refreshed from all rows that are there, in windows, newest first",
                why="there are rows that it was never made from"
                if relation.there
                else "it is made without data; its policy would never look further back than its own window",
                statements=(parts.make.refresh(relation.name),),
                lock="none that a writer or reader of the table could meet",
                back="not needed",
                relation=relation.name,
                work=Work.REFRESH,
            ),
        )
    )


def _unmentioned(parts: Parts, relation: Relation) -> None:
    key = f"aggregate:{relation.name}"
    if not parts.pruned(key):
        parts.unmanaged.append(
            Unmanaged(
                key, f"continuous aggregate {relation.name}, {relation.state.query if relation.state else ''}"
            )
        )
        for job in relation.jobs:
            parts.unmanaged.append(
                Unmanaged(f"job:{job.id}", f"{policies.job_words(job)}{relation.words}", removable=False)
            )
        return
    parts.steps.append(
        (
            Turn.DROPPED,
            Step(
                key=key,
                kind=Kind.REMOVE,
                what=f"the continuous aggregate {relation.name} goes, with its rows, indexes and policies",
                why="the file does not mention it, and --prune names it",
                statements=(parts.make.drop_aggregate(relation.name),),
                lock="ACCESS EXCLUSIVE on it and, to take its trigger off, on what it reads",
                back=None,
                relation=relation.reads[0] if relation.reads else parts.case.state.name,
                lock_mode="ACCESS EXCLUSIVE",
                confirm=Confirm(aggregate=relation.name),
            ),
        )
    )
