"""The hypertable's own part of a difference: its chunk interval, and indexes of any relation."""

from __future__ import annotations

from ..errors import Usage
from ..model.declared import Span
from ..model.difference import Confirm, Kind, Step, Unmanaged, Work
from ..model.lifecycle import IndexReading
from ..model.names import quote_ident, quoted_if_needed
from ..planner.duration import parse_duration
from ..words import duration
from .outcome import Case, Relation
from .parts import Parts, Turn, index_key, reading_key
from .statements import create_index, drop_index

PER_SECOND = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000, "nanoseconds": 1_000_000_000}
"""What an integer time column may count."""


def wanted_interval(case: Case) -> Span | None:
    """The declared chunk interval in the time column's own terms; None where the file has none, or it does not fit the
    column.

    A length of time for an integer column fits where the present interval is that length counted in seconds, milliseconds,
    microseconds or nanoseconds, as `plan` found from the data.
    """
    written = case.declared.chunk_interval
    if written is None:
        return None
    bare = written.strip().replace("_", "")
    if bare.isdecimal():
        return Span(units=int(bare)) if case.state.integer_time else None
    try:
        microseconds = parse_duration(written)
    except Usage:
        return None
    if not case.state.integer_time:
        return Span(microseconds=microseconds)
    now = case.state.interval.units
    fits = any(microseconds * unit == (now or 0) * 1_000_000 for unit in PER_SECOND.values())
    return case.state.interval if fits else None


def interval(parts: Parts) -> None:
    """set_chunk_time_interval, with what it will and will not change."""
    case = parts.case
    wanted, now = wanted_interval(case), case.state.interval
    if wanted is None:
        return
    if wanted.about == now.about:
        parts.same.append(f"chunk_interval: {now}")
        return
    parts.steps.append(
        (
            Turn.INTERVAL,
            Step(
                key="chunk_interval",
                kind=Kind.CHANGE,
                what=f"chunks made from now on are {wanted} wide, instead of {now}",
                why="the file has another chunk_interval. "
                f"It holds for chunks that are yet to be made: the {case.state.chunks:,} that are there stay as they are, "
                f"and so does the "
                "chunk that is being written, until its end. Where a new chunk would overlap one that is there, it is cut "
                "to fit.",
                statements=(parts.make.chunk_interval(case.state.name, wanted),),
                lock="none that a writer or reader could meet",
                back=f"the same statement with {now}",
                relation=case.state.name,
            ),
        )
    )


def indexes(parts: Parts, relation: Relation, turn: Turn) -> None:
    """Indexes that are to be made, those that are as they should be, and those that the file does not mention."""
    known: set[str] = set()
    for reading in relation.index_readings:
        if reading.name is not None:
            known.add(reading.name)
        if reading.definition is None or reading.refused is not None:
            continue
        if reading.plan is not None and reading.plan.there:
            parts.same.append(f"{reading_key(relation, reading)}: {reading.definition}")
            continue
        parts.steps.append((turn, _index_step(parts, relation, reading)))
    for index in relation.state_indexes:
        if index.constraint is None and index.name not in known:
            _unmentioned(parts, relation, index.name, index.definition, index.unique)


def _index_step(parts: Parts, relation: Relation, reading: IndexReading) -> Step:
    plan = reading.plan
    name, columns = reading.name, ", ".join(reading.index.columns)
    called = f"on {columns}" if name is None else quoted_if_needed(name)
    tail = reading.definition or _tail_of(reading)
    notes: tuple[str, ...] = () if plan is None else plan.notes
    if plan is None:  # of an aggregate that is not there yet: it has no rows
        lock = "SHARE on the aggregate, which has no rows yet"
    elif plan.method.value == "concurrent":
        lock = "SHARE UPDATE EXCLUSIVE, a chunk at a time: no writer waits"
    elif plan.method.value == "per chunk":
        who = (
            "an INSERT waits for its chunk, an UPDATE or DELETE for all"
            if plan.locks_all
            else "a writer waits for its chunk"
        )
        lock = f"SHARE on one chunk at a time: {who}, about {duration(plan.longest_wait)} at most"
    else:
        lock = f"SHARE on the table: every writer waits, about {duration(plan.longest_wait)}"
    chunks = "" if plan is None else f"; {plan.missing:,} of {plan.chunks:,} chunks lack it"
    return Step(
        key=reading_key(relation, reading),
        kind=Kind.ADD,
        what=f"the {'unique ' if reading.index.unique else ''}index {called}{relation.words}, {tail}",
        why=f"the file declares it{chunks}",
        statements=(
            create_index(
                relation.name,
                reading.index,
                name,
                tail,
                option=plan is not None and plan.method.value == "per chunk",
            ),
        ),
        lock=lock,
        back="DROP INDEX",
        relation=relation.name,
        work=Work.INDEX,
        index=reading.index,
        confirm=Confirm(blocks=True) if reading.blocks else None,
        notes=notes,
    )


def _tail_of(reading: IndexReading) -> str:
    index = reading.index
    include = f" INCLUDE ({', '.join(map(quote_ident, index.include))})" if index.include else ""
    where = f" WHERE {index.where}" if index.where else ""
    return f"USING {index.method} ({', '.join(index.columns)}){include}{where}"


def _unmentioned(parts: Parts, relation: Relation, name: str, definition: str, unique: bool) -> None:
    key = index_key(relation, name)
    schema = relation.state.materialization.schema if relation.state is not None else relation.name.schema
    if not parts.pruned(key):
        parts.unmanaged.append(
            Unmanaged(
                key,
                f"{'unique ' if unique else ''}index {quoted_if_needed(name)}{relation.words}, {definition}",
            )
        )
        return
    parts.steps.append(
        (
            Turn.DROPPED,
            Step(
                key=key,
                kind=Kind.REMOVE,
                what=f"the index {quoted_if_needed(name)}{relation.words} goes",
                why="the file does not mention it, and --prune names it",
                statements=(drop_index(schema, name),),
                lock="ACCESS EXCLUSIVE on the table and its chunks, for milliseconds",
                back=f"CREATE {'UNIQUE ' if unique else ''}INDEX ... {definition}",
                relation=relation.name,
                lock_mode="ACCESS EXCLUSIVE",
            ),
        )
    )
