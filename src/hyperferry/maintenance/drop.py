"""Old chunks dropped, after an exact list: what a policy of retention does, where there is none (Apache edition), or once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from psycopg import sql

from ..catalog.resolve import resolve_table
from ..db import connect, fetch_all, fetch_value, load_queries, yield_and_retry
from ..db.connection import Connection
from ..db.locks import not_held_by_the_gone
from ..errors import Refused
from ..model.health import Chunk, HealthFacts
from ..model.names import TableName
from ..model.upkeep import Loss
from ..upkeep.aggregate_facts import Span, waiting
from ..upkeep.losses import ALL, losses, remedy_of
from .look import gather
from .range import place_of


@dataclass(frozen=True)
class DropOptions:
    """`confirm` has to be the table's name; without it the list is all there is. `accept`: the losses of continuous aggregates
    that are accepted, by their rules, or `all`."""

    dsn: str
    table: str
    older_than: str
    confirm: str | None = None
    dry_run: bool = False
    accept: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Dropped:
    """The chunks that are older, and what became of each that was begun with, by OID: `dropped`, `left` (drop_chunks passed over
    it) or `gone` (somebody else dropped it). `losses` are what continuous aggregates would lose by it, without those that were
    accepted. `rows` and bytes are by the statistics."""

    table: str
    listed: tuple[Chunk, ...]
    states: Mapping[int, str] = field(default_factory=dict)
    confirmed: bool = False
    ended: str | None = None
    losses: tuple[Loss, ...] = ()

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of the chunks that were dropped."""
        return tuple(str(chunk.relation.name) for chunk in self.listed if self.state(chunk) == "dropped")

    @property
    def left(self) -> int:
        """How many were passed over."""
        return sum(1 for chunk in self.listed if self.state(chunk) == "left")

    def state(self, chunk: Chunk) -> str:
        """What became of a chunk: `listed` where it was not begun with."""
        return self.states.get(chunk.relation.oid, "listed")


def drop_chunks(options: DropOptions, say: Callable[[str], None], stop: threading.Event) -> Dropped:
    """Lists the chunks that end at or before the boundary, and drops them one transaction each where that is confirmed. Raises
    Usage,
    Refused (also where continuous aggregates would lose rows by it, and that is not accepted), LockUnavailable (what was dropped
    until then stays so; the same command goes on)."""
    with connect(options.dsn, purpose="drop chunks") as conn:
        table, facts = gather(conn, options.table)
        if facts.rollout is not None and facts.rollout.phase != "cut_over":
            raise Refused(
                f"A rollout builds {facts.table}, in phase {facts.rollout.phase}.",
                remedy="chunks are dropped from a hypertable that is in use: after the cutover.",
            )
        boundary = place_of(conn, facts, options.older_than, "--drop-older-than")
        old = tuple(chunk for chunk in facts.chunks if chunk.end <= boundary)
        found = Dropped(str(table), old, losses=_not_accepted(conn, facts, old, options.accept))
        if not old or options.dry_run or options.confirm is None:
            return found
        if resolve_table(conn, options.confirm)[1] != facts.table:
            raise Refused(
                f"--confirm {options.confirm} is another table.",
                facts={"table": facts.table},
                remedy=f"--confirm '{facts.table}' drops the chunks that are listed.",
            )
        if found.losses:
            raise Refused(
                "Continuous aggregates would lose rows by that. Nothing was dropped.",
                facts={f"{each.aggregate} ({each.rule})": each.message for each in found.losses},
                remedy=remedy_of(found.losses),
            )
        return _drop(conn, facts, found, say, stop)


def _not_accepted(
    conn: Connection, facts: HealthFacts, listed: tuple[Chunk, ...], accept: frozenset[str]
) -> tuple[Loss, ...]:
    """What the aggregates that read the hypertable itself would lose. Those over aggregates read what those keep."""
    reading = [each for each in facts.aggregates if each.source_number == facts.number]
    waits: dict[int, list[Span]] = {}
    if listed:
        waits = {each.number: waiting(conn, each.number, facts.number) for each in reading}
    return tuple(each for each in losses(listed, reading, waits) if each.rule not in accept and ALL not in accept)


def _drop(conn: Connection, facts: HealthFacts, found: Dropped, say: Callable[[str], None], stop: threading.Event) -> Dropped:
    states: dict[int, str] = {}
    by_range: dict[tuple[int, int], list[Chunk]] = {}
    for chunk in found.listed:
        by_range.setdefault((chunk.start, chunk.end), []).append(chunk)
    for chunks in by_range.values():
        if stop.is_set():
            return replace(found, states=states, confirmed=True, ended="interrupted")
        names = [str(chunk.relation.name) for chunk in chunks]
        tables = [facts.table, *(chunk.relation.name for chunk in chunks)]
        gone = yield_and_retry(conn, f"drop {', '.join(names)}", tables, partial(_one, conn, facts, chunks), attempts=20)
        there = {int(row[0]) for row in fetch_all(conn, _query("still_there"), {"oids": [c.relation.oid for c in chunks]})}
        for chunk in chunks:
            oid = chunk.relation.oid
            states[oid] = "dropped" if chunk.relation.name in gone else "left" if oid in there else "gone"
        for state, words in (("dropped", "dropped"), ("left", "LEFT, drop_chunks passed over"), ("gone", "already gone:")):
            of_it = [str(chunk.relation.name) for chunk in chunks if states[chunk.relation.oid] == state]
            if of_it:
                say(f"{words} {', '.join(of_it)}, {chunks[0].start_text} to {chunks[0].end_text}")
    return replace(found, states=states, confirmed=True)


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "maintenance.sql")[name]


def _one(conn: Connection, facts: HealthFacts, chunks: list[Chunk]) -> frozenset[TableName]:
    """The chunks of one range, and no other, in one transaction; gives those that went. What is frozen is passed over."""
    schema = fetch_value(
        conn, "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb'"
    )
    # Without a type of its own, the text is read as the time column's.
    bounds = [sql.Literal(text) for text in (chunks[0].end_text, chunks[0].start_text)]
    statement = _query("drop_one").format(
        drop_chunks=sql.Identifier(schema, "drop_chunks"), table=sql.Literal(facts.table.quoted), older=bounds[0], newer=bounds[1]
    )
    wanted = {chunk.relation.name for chunk in chunks}
    with conn.transaction():
        not_held_by_the_gone(conn)
        gone = frozenset(TableName(*row[0]) for row in fetch_all(conn, statement))
        other = sorted(str(name) for name in gone - wanted)
        if other:
            raise Refused(
                "drop_chunks took a chunk that was not on the list; that was undone.",
                facts={"chunks": ", ".join(other)},
                remedy="look at the list again: the chunks changed since.",
            )
    return gone


def dropped_json(found: Dropped) -> dict[str, Any]:
    """What was listed and dropped, for programs."""
    return {
        "table": found.table,
        "chunks": [
            {
                "chunk": str(chunk.relation.name),
                "from": chunk.start_text,
                "to": chunk.end_text,
                "bytes": chunk.total_bytes,
                "rows": round(chunk.relation.estimated_rows),
                "dropped": found.state(chunk) == "dropped",
                "state": found.state(chunk),
            }
            for chunk in found.listed
        ],
        "losses": [
            {"aggregate": str(each.aggregate), "rule": each.rule, "message": each.message, "remedy": each.remedy}
            for each in found.losses
        ],
        "dropped": len(found.dropped),
        "left": found.left,
        "confirmed": found.confirmed,
        "ended": found.ended,
    }

