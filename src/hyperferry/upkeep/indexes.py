"""An index onto a hypertable that stays in use: planned, built, cleaned up after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from ..catalog import has
from ..db import execute, fetch_all, fetch_one, fetch_value
from ..db.connection import Connection
from ..errors import Conflict, Failed, Refused, Usage
from ..model.declared import DeclaredIndex
from ..model.definitions import key_elements
from ..model.names import TableName, quoted_if_needed
from ..model.upkeep import IndexMethod, IndexPlan, IndexReport
from ..words import duration, plural, size
from . import index_methods
from .index_state import Chunk, Target, Wanted, chunks, query, root_equals, target, wanted
from .index_text import tail_of

Say = Callable[[str], None]
Stop = Callable[[], None]

UNASKED_SECONDS = 10.0
"""A build by TimescaleDB that may keep one writer waiting for longer has to be allowed."""
COMPRESSED_NOTE = (
    "{} compressed: there the index holds only rows that are not compressed; compressed ones are found by "
    "segment_by and order_by."
)


def plan(
    conn: Connection, hypertable: TableName, index: DeclaredIndex, *, storage: Mapping[str, str] | None = None
) -> IndexPlan:
    """What `build` would do now. Changes nothing.

    Raises Usage for what is no hypertable or no index, Refused where it cannot be (an equal index of another name, a
    name that is taken, a unique index without the time column, no rights).
    """
    where = target(conn, hypertable)
    return _plan(conn, where, wanted(conn, where, index, storage))[0]


def _plan(conn: Connection, where: Target, want: Wanted) -> tuple[IndexPlan, Wanted, list[Chunk]]:
    if want.unique and where.aggregate:
        raise Refused(
            f"A continuous aggregate takes no unique index ({want.name} on {where.name}).",
            remedy="declare it without unique: its groups are unique already.",
        )
    if want.unique:
        _refuse_without_time(conn, where, want)
    found = chunks(conn, where, want)
    equals = root_equals(conn, where, want)
    valid = [name for name, fine, _ in equals if fine]
    if not want.named and valid:
        want = replace(want, name=valid[0], named=True)
    others = [name for name in valid if name != want.name]
    if others and want.name not in valid:
        raise Refused(
            f"{where.name} has an index of this definition already, under another name.",
            facts={"there is": others[0], "wanted": want.name, "definition": want.tail},
            remedy=f"rename it (ALTER INDEX ... RENAME TO {quoted_if_needed(want.name)}; this reaches the chunks), or name it "
            "so in the file.",
        )
    broken = [name for name, fine, _ in equals if not fine]
    if want.named and want.name not in (*valid, *broken):
        _refuse_taken(conn, where, want)
    elif not want.named and not broken:
        want = replace(want, name=_free_name(conn, where, want.name), named=True)
    elif not want.named:
        want = replace(want, name=broken[0], named=True)
    missing = [chunk for chunk in found if not chunk.has_it]
    there = want.name in valid and not missing
    method = _method(where, want, found)
    cleans = [TableName(where.root.schema, name) for name in broken]
    cleans += [TableName(c.name.schema, c.index) for c in found if c.index and not c.valid]
    if broken and method is not IndexMethod.CONCURRENT:
        # TimescaleDB makes every chunk's index again, beside those that are there.
        cleans += [TableName(c.name.schema, c.index) for c in found if c.index and c.valid]
        missing = [chunk for chunk in found if not chunk.foreign]
    compressed = int(fetch_value(conn, query("compressed"), {"root": where.oid}))
    notes = _notes(where, method, missing, compressed, found)
    made = IndexPlan(
        TableName(where.root.schema, want.name),
        want.tail,
        want.unique,
        method,
        len(found),
        len(missing),
        sum(chunk.bytes for chunk in missing),
        max((chunk.bytes for chunk in missing), default=0),
        compressed,
        () if there else tuple(cleans),
        there,
        () if there else notes,
        not has("chunk_locks", where.timescaledb, where.edition),
    )
    return made, want, found


def _method(where: Target, want: Wanted, found: list[Chunk]) -> IndexMethod:
    """Adoption serves whoever may make an index on a chunk; TimescaleDB's own way everybody, but not unique ones."""
    may = all(chunk.may_create for chunk in found if not chunk.foreign)
    if may and not where.aggregate and has("index_adoption", where.timescaledb, where.edition):
        return IndexMethod.CONCURRENT
    return IndexMethod.AT_ONCE if want.unique else IndexMethod.PER_CHUNK


def _notes(
    where: Target, method: IndexMethod, missing: list[Chunk], compressed: int, found: list[Chunk]
) -> tuple[str, ...]:
    notes = []
    adopts = has("index_adoption", where.timescaledb, where.edition) and not where.aggregate
    if method is not IndexMethod.CONCURRENT and adopts and missing:
        schemas = sorted({quoted_if_needed(c.name.schema) for c in found if not c.may_create})
        notes.append(
            f"No writer would wait at all if this role might make indexes on chunks: a superuser can "
            f"GRANT CREATE ON SCHEMA {', '.join(schemas)} TO it."
        )
    if compressed:
        notes.append(
            COMPRESSED_NOTE.format(f"{plural(compressed, 'chunk')} {'is' if compressed == 1 else 'are'}")
        )
    return tuple(notes)


def _refuse_without_time(conn: Connection, where: Target, want: Wanted) -> None:
    """Said before a chunk is built: TimescaleDB would say it of the root, at the end."""
    elements = key_elements(want.tail)
    columns = [row[0] for row in fetch_all(conn, query("partition_columns"), {"root": where.oid})]
    lacking = [c for c in columns if not any(e == c or e.startswith(f"{c} ") for e in elements)]
    if lacking:
        raise Refused(
            f"A unique index on {where.name} has to contain {', '.join(lacking)}: rows are unique within a chunk alone.",
            facts={"index": want.tail},
            remedy=f"add {', '.join(lacking)} to its columns, and mind that the others are then no longer unique by themselves.",
        )


def _refuse_taken(conn: Connection, where: Target, want: Wanted) -> None:
    row = fetch_one(conn, query("root_index"), {"root": where.oid, "name": want.name})
    if row is not None:
        raise Refused(
            f"{where.name} has an index {quoted_if_needed(want.name)} of another definition.",
            facts={
                "there is": ("UNIQUE " if row[1] else "") + tail_of(row[0]),
                "wanted": ("UNIQUE " if want.unique else "") + want.tail,
            },
            remedy="give the new one another name, and drop the old one when the new one is there.",
        )
    if fetch_value(conn, query("name_taken"), {"root": where.oid, "name": want.name}) is not None:
        raise Refused(
            f"The name {quoted_if_needed(want.name)} is taken by something else in the schema.",
            facts={"schema": where.root.schema},
            remedy="give the index another name.",
        )


def _free_name(conn: Connection, where: Target, name: str) -> str:
    for number in range(100):
        label = str(number) if number else ""
        tried = name.encode()[: 63 - len(label)].decode(errors="ignore") + label
        if fetch_value(conn, query("name_taken"), {"root": where.oid, "name": tried}) is None:
            return tried
    raise Failed(f"No free name for an index like {name}.", remedy="name the index.")


def build(
    conn: Connection,
    hypertable: TableName,
    index: DeclaredIndex,
    *,
    say: Say,
    should_stop: Stop,
    may_block: bool = False,
    storage: Mapping[str, str] | None = None,
) -> IndexReport:
    """Builds the index on the hypertable (or continuous aggregate) and every chunk; where it is there already, does
    nothing.

    Can be run again after an interruption at any point: what that left invalid is dropped, and by the method
    `concurrent` what is built already is kept. `conn` is in autocommit, outside of a transaction. `storage` are the
    index's parameters (fillfactor, ...). `should_stop` raises to end the build; the statement that runs is cancelled
    then. `may_block`: a build may keep writers waiting where there is no other way.

    Raises what `plan` raises; Refused also for one that would keep writers waiting without `may_block` (a unique one at
    all, another for more than `UNASKED_SECONDS`), and for rows that are not unique; Conflict where somebody builds it
    now; LockUnavailable that names the blockers.
    """
    begun = time.monotonic()
    where = target(conn, hypertable)
    want = wanted(conn, where, index, storage)
    with _alone(conn, where):
        made, want, found = _plan(conn, where, want)
        if made.there:
            return IndexReport(made.name, made.method, made.chunks, 0, (), time.monotonic() - begun, 0.0)
        broken = {name: oid for name, fine, oid in root_equals(conn, where, want) if not fine}
        _refuse_builders(conn, where, want, found, broken.values())
        _refuse_blocking(made, may_block)
        _announce(made, where, say)
        cleaned = _clean(conn, where, made, broken, say, should_stop)
        run = index_methods.Run(conn, where, want, say, should_stop)
        built, longest = {
            IndexMethod.CONCURRENT: index_methods.concurrently,
            IndexMethod.PER_CHUNK: index_methods.per_chunk,
            IndexMethod.AT_ONCE: index_methods.at_once,
        }[made.method](run)
    report = IndexReport(
        made.name, made.method, made.chunks, built, cleaned, time.monotonic() - begun, longest
    )
    say(f"index {made.name}: built on {plural(built, 'chunk')} in {duration(report.seconds)}")
    return report


@contextmanager
def _alone(conn: Connection, where: Target) -> Iterator[None]:
    if not fetch_value(conn, query("try_work"), {"root": where.oid}):
        raise Conflict(
            f"Another hyperferry is building an index on {where.name}.",
            remedy="wait until it has ended; what it did is seen then.",
        )
    try:
        yield
    finally:
        if not conn.closed:
            execute(conn, query("end_work"), {"root": where.oid})


def _refuse_builders(
    conn: Connection, where: Target, want: Wanted, found: list[Chunk], broken: Iterable[int]
) -> None:
    """An invalid index may be one that somebody is building: it looks the same as one that was left."""
    row = fetch_one(conn, query("root_index"), {"root": where.oid, "name": want.name})
    indexes = [*broken, *([int(row[3])] if row is not None else [])]
    for chunk in found:
        if chunk.index and not chunk.valid:
            indexes.append(
                int(
                    fetch_value(
                        conn,
                        "SELECT to_regclass(%s)::oid::bigint",
                        [TableName(chunk.name.schema, chunk.index).quoted],
                    )
                )
            )
    if not indexes:
        return
    for _ in range(3):  # a session that plans a query holds an index for a moment
        pids = [row[0] for row in fetch_all(conn, query("builders"), {"root": where.oid, "indexes": indexes})]
        if not pids:
            return
        time.sleep(0.2)
    raise Conflict(
        f"Somebody is building {quoted_if_needed(want.name)} on {where.name} now.",
        facts={"pid": ", ".join(map(str, pids))},
        remedy="wait until it has ended, then run the same command again.",
    )


def _refuse_blocking(made: IndexPlan, may_block: bool) -> None:
    if may_block or not made.bytes or made.method is IndexMethod.CONCURRENT:
        return
    unique = made.method is IndexMethod.AT_ONCE
    if not unique and made.longest_wait <= UNASKED_SECONDS:
        return
    who = "every writer" if unique else "UPDATE and DELETE" if made.locks_all else "the writers of a chunk"
    raise Refused(
        f"The {'unique ' if unique else ''}index {made.name} cannot be built here without keeping {who} waiting.",
        facts={
            "for about": duration(made.longest_wait),
            "rows to read": size(made.bytes),
            "chunks": made.missing,
            "largest": size(made.largest),
        },
        remedy="allow it (--may-block) at a quiet hour; or have a superuser build it, or give this role CREATE on the chunks' "
        "schema, with TimescaleDB 2.22 or later: then it is built concurrently.",
    )


def _announce(made: IndexPlan, where: Target, say: Say) -> None:
    how = {
        IndexMethod.CONCURRENT: "concurrently, chunk by chunk; no writer waits",
        IndexMethod.PER_CHUNK: "chunk by chunk; "
        + (
            "an INSERT waits for its chunk, an UPDATE or DELETE for all"
            if made.locks_all
            else "a writer waits for its chunk"
        )
        + f", about {duration(made.longest_wait)} at most",
        IndexMethod.AT_ONCE: f"in one transaction; every writer waits, about {duration(made.longest_wait)}",
    }[made.method]
    say(f"index {made.name} on {plural(made.missing, 'chunk')} of {made.chunks} ({size(made.bytes)}): {how}")
    for note in made.notes:
        say(note)


def _clean(
    conn: Connection, where: Target, made: IndexPlan, broken: Mapping[str, int], say: Say, should_stop: Stop
) -> tuple[TableName, ...]:
    """Drops what an interruption left: chunks' indexes concurrently, one after the other, then the root's (`broken`,
    name and OID) under its lock."""
    roots = {TableName(where.root.schema, name): oid for name, oid in broken.items()}
    for name in made.cleans:
        should_stop()
        if name not in roots:
            index_methods.drop_concurrently(conn, where, name, should_stop)
    for name, oid in roots.items():
        if name in made.cleans:
            index_methods.drop_root(conn, where, name, oid, should_stop)
    if made.cleans:
        count = len(made.cleans)
        say(f"dropped {count} {'index' if count == 1 else 'indexes'} that an interruption had left")
    return made.cleans


__all__ = ["Usage", "build", "plan"]
