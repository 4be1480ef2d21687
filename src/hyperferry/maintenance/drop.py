"""Old chunks dropped, after an exact list: what a policy of retention does, where there is none (Apache edition), or once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from psycopg import sql

from ..catalog.resolve import resolve_table
from ..db import connect, fetch_all, fetch_value, load_queries, yield_and_retry
from ..db.connection import Connection
from ..db.locks import not_held_by_the_gone
from ..errors import Refused
from ..model.health import Chunk, HealthFacts
from .look import gather
from .range import place_of


@dataclass(frozen=True)
class DropOptions:
    """`confirm` has to be the table's name; without it the list is all there is."""

    dsn: str
    table: str
    older_than: str
    confirm: str | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Dropped:
    """The chunks that are older, and those of them that were dropped. `rows` and bytes are by the statistics."""

    table: str
    listed: tuple[Chunk, ...]
    dropped: tuple[str, ...] = ()
    confirmed: bool = False
    ended: str | None = None


def drop_chunks(options: DropOptions, say: Callable[[str], None], stop: threading.Event) -> Dropped:
    """Lists the chunks that end at or before the boundary, and drops them one transaction each where that is confirmed. Raises
    Usage,
    Refused, LockUnavailable (what was dropped until then stays so; the same command goes on)."""
    with connect(options.dsn, purpose="drop chunks") as conn:
        table, facts = gather(conn, options.table)
        if facts.rollout is not None and facts.rollout.phase != "cut_over":
            raise Refused(
                f"A rollout builds {facts.table}, in phase {facts.rollout.phase}.",
                remedy="chunks are dropped from a hypertable that is in use: after the cutover.",
            )
        boundary = place_of(conn, facts, options.older_than, "--drop-older-than")
        old = tuple(chunk for chunk in facts.chunks if chunk.end <= boundary)
        found = Dropped(str(table), old)
        if not old or options.dry_run or options.confirm is None:
            return found
        if resolve_table(conn, options.confirm)[1] != facts.table:
            raise Refused(
                f"--confirm {options.confirm} is another table.",
                facts={"table": facts.table},
                remedy=f"--confirm '{facts.table}' drops the chunks that are listed.",
            )
        return _drop(conn, facts, found, say, stop)


def _drop(conn: Connection, facts: HealthFacts, found: Dropped, say: Callable[[str], None], stop: threading.Event) -> Dropped:
    dropped: list[str] = []
    by_range: dict[tuple[int, int], list[Chunk]] = {}
    for chunk in found.listed:
        by_range.setdefault((chunk.start, chunk.end), []).append(chunk)
    for chunks in by_range.values():
        if stop.is_set():
            return Dropped(found.table, found.listed, tuple(dropped), True, "interrupted")
        names = [str(chunk.relation.name) for chunk in chunks]
        tables = [facts.table, *(chunk.relation.name for chunk in chunks)]
        yield_and_retry(conn, f"drop {', '.join(names)}", tables, partial(_one, conn, facts, chunks), attempts=20)
        dropped += names
        say(f"dropped {', '.join(names)}, {chunks[0].start_text} to {chunks[0].end_text}")
    return Dropped(found.table, found.listed, tuple(dropped), True)


def _one(conn: Connection, facts: HealthFacts, chunks: list[Chunk]) -> None:
    """The chunks of one range, and no other, in one transaction."""
    schema = fetch_value(
        conn, "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb'"
    )
    # Without a type of its own, the text is read as the time column's.
    bounds = [sql.Literal(text) for text in (chunks[0].end_text, chunks[0].start_text)]
    statement = load_queries(__package__, "maintenance.sql")["drop_one"].format(
        drop_chunks=sql.Identifier(schema, "drop_chunks"), table=sql.Literal(facts.table.quoted), older=bounds[0], newer=bounds[1]
    )
    wanted = {chunk.relation.name.name for chunk in chunks}
    with conn.transaction():
        not_held_by_the_gone(conn)
        gone = [str(row[0]) for row in fetch_all(conn, statement)]
        other = [name for name in gone if not any(each in name for each in wanted)]
        if other:
            raise Refused(
                "drop_chunks took a chunk that was not on the list; that was undone.",
                facts={"chunks": ", ".join(other)},
                remedy="look at the list again: the chunks changed since.",
            )


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
                "dropped": str(chunk.relation.name) in found.dropped,
            }
            for chunk in found.listed
        ],
        "dropped": len(found.dropped),
        "confirmed": found.confirmed,
        "ended": found.ended,
    }

