"""Builds a chunk's indexes as soon as nothing is copied into it any more, all of them while its pages are still in memory.

From TimescaleDB 2.22 on an index that is made on the root alone (ON ONLY) takes those of its chunks that are equal for its own;
one that is made on the root as usual is made on every chunk, a second time where the chunk has it. Who may make them, and where
it helps, says `may_build`: the owner of a hypertable alone may not, as chunks are in a schema of TimescaleDB's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import psycopg
from psycopg import sql

from ..catalog import has
from ..db import at_most, execute, fetch_all, fetch_value, is_transient, load_queries
from ..db.connection import Connection
from ..ledger.compressed import chunks
from ..ledger.flow import Flow
from ..ledger.objects import range_columns
from ..ledger.transaction import UNFLUSHED
from ..model.names import TableName, chunk_index_name
from ..model.statement import Statement
from .shadow import chunk_index_statements, plain_indexes, root_alone_statement

_FILE = "chunk_indexes.sql"
WAIT = "2s"
"""For a chunk's lock: nobody but our own workers uses the shadow, and an autovacuum, which gives way after a second; whoever has
a VACUUM of his own run over it does not, and need not be waited for."""
PROBE = "hyperferry_probe"
"""A table that is made for a moment, and never committed."""


@dataclass(frozen=True)
class CopiedChunk:
    """A chunk that nothing is copied into any more, and which of the plan's indexes it lacks, by the names that TimescaleDB gives
    them."""

    name: TableName
    oid: int
    lacks: tuple[tuple[str, str], ...]  # the root's index, the chunk's


def may_build(conn: Connection, flow: Flow) -> bool:
    """Whether the version adopts a chunk's indexes, the plan has such as can be built so, and the role may make them. A chunk
    that is compressed meanwhile keeps no rows that an index could hold."""
    plan = flow.rollout.plan
    if plan.compression is not None or not plain_indexes(plan) or not _adopts(flow):
        return False
    return bool(fetch_value(conn, load_queries(__package__, _FILE)["may"], {"root": flow.rollout.hypertable_oid}))


Printed = Mapping[str, str]
"""Each of the root's plain indexes -> how PostgreSQL prints it from USING on, where it was made by its printed definition."""


def printed(conn: Connection, flow: Flow) -> Printed:
    """How the plain indexes look on a chunk. Not as on the source: what is printed is not always what comes of it when it is read
    again (of an IN (...) over varchar the casts move). So they are made on an empty table like the shadow, and that is undone."""
    plan = flow.rollout.plan
    roots = plain_indexes(plan)
    probe = TableName(flow.passive.name.schema, PROBE)
    names = [f"{PROBE}_{number}" for number, _ in enumerate(roots)]
    with conn.transaction(force_rollback=True):
        execute(conn, "SET LOCAL lock_timeout = '60s'")
        like = sql.SQL("CREATE TABLE {} (LIKE {})")
        execute(conn, like.format(sql.Identifier(probe.schema, probe.name), flow.passive.ident))
        for statement in chunk_index_statements(plan, probe, list(zip(roots, names, strict=True))):
            execute(conn, statement.sql)
        query = load_queries(__package__, _FILE)["printed"]
        found = dict(fetch_all(conn, query, {"schema": probe.schema, "table": probe.name}))
    return {root: str(found[name]).partition(" USING ")[2] for root, name in zip(roots, names, strict=True)}


def copied_chunks(conn: Connection, flow: Flow, known: Collection[int], tails: Printed) -> list[CopiedChunk]:
    """The chunks but for the known ones (their OIDs) that nothing is copied into any more, oldest first. `tails`: `printed`."""
    queries = load_queries(__package__, _FILE)
    batch = flow.of_ledger("batch")
    time = flow.rollout.plan.inspection.time
    by_time = [name for name, _ in range_columns(flow)] == ["t"] and time is not None and time.base_type != "pg_catalog.uuid"
    below = queries["below"].format(batch=batch) if by_time else sql.SQL("")
    statement = queries["closed"].format(chunks=chunks(flow, status=False), batch=batch, below=below)
    found = []
    for oid, schema, name, there in fetch_all(conn, statement, {"known": list(known)}):
        wanted = names_on(str(name), plain_indexes(flow.rollout.plan))
        lacks = tuple((root, own) for root, own in wanted if not _is(tails[root], (there or {}).get(own)))
        found.append(CopiedChunk(TableName(str(schema), str(name)), int(oid), lacks))
    return found


def statements_of_root(conn: Connection, flow: Flow, name: str, group: Sequence[Statement]) -> Sequence[Statement]:
    """What makes the root's index (`group`), under a lock by which no chunk comes or goes: on the root alone where every chunk
    has it; where only some do, without these."""
    plan = flow.rollout.plan
    if name not in plain_indexes(plan) or not _adopts(flow):
        return group
    having, lacking = _on_chunks(conn, flow, name, printed(conn, flow))
    if having and not lacking:
        return [root_alone_statement(plan, flow.passive.name, name)]
    return [*(_drop(index) for index in having), *group]


def drop_partial(conn: Connection, flow: Flow, names: Collection[str]) -> None:
    """Drops those of the root's indexes `names` that only some chunks have, as their builders would do, who hold the chunks'
    locks for as long as they build: one would keep the other out. In short transactions; raises what PostgreSQL does where a
    chunk is locked."""
    if not _adopts(flow):
        return
    tails = printed(conn, flow)
    for name in names:
        having, lacking = _on_chunks(conn, flow, name, tails) if name in tails else ([], 0)
        if lacking:
            for index in having:
                with conn.transaction():
                    execute(conn, sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(WAIT)))
                    execute(conn, _drop(index).sql)


def _on_chunks(conn: Connection, flow: Flow, name: str, tails: Printed) -> tuple[list[TableName], int]:
    """The root's index as it is on chunks, and how many chunks lack it."""
    having, lacking = [], 0
    there = fetch_all(conn, load_queries(__package__, _FILE)["there"], {"root": flow.rollout.hypertable_oid})
    for schema, chunk, indexes in there:
        own = dict(names_on(chunk, plain_indexes(flow.rollout.plan)))[name]
        if _is(tails[name], (indexes or {}).get(own)):
            having.append(TableName(schema, own))
        else:
            lacking += 1
    return having, lacking


def _is(tail: str, definition: str | None) -> bool:
    """Whether a chunk's index is the root's by its definition: of two long names that are cut to one the other may have it."""
    return definition is not None and definition.endswith(f" USING {tail}")


def _drop(index: TableName) -> Statement:
    return Statement(
        "index",
        f"the index {index} is made anew with those of the other chunks",
        sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(index.schema, index.name)),
    )


def _adopts(flow: Flow) -> bool:
    server = flow.rollout.plan.inspection.server
    return has("index_adoption", server.timescaledb_installed, server.edition)


def names_on(chunk: str, roots: Sequence[str]) -> list[tuple[str, str]]:
    """Each of the root's indexes with the name that it has on the chunk, no name twice, the same each time."""
    taken: set[str] = set()
    names = []
    for root in roots:
        number = 0
        while (name := chunk_index_name(chunk, root, number)) in taken:
            number += 1
        taken.add(name)
        names.append((root, name))
    return names


class Built(Enum):
    """What became of a chunk's indexes."""

    BUILT = "built"
    NOT_NOW = "its lock was not to be had"
    LEFT = "left to the root's index: the chunk was dropped, a name is taken, or the right is"


def build(conn: Connection, flow: Flow, chunk: CopiedChunk, helpers: int | None) -> Built:
    """Builds what the chunk lacks, in one transaction, which the disk need not have at its end: what is lost is missed later.
    `helpers`: parallel workers at most."""
    try:
        with conn.transaction():
            execute(conn, sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(WAIT)))
            for name, value in UNFLUSHED.items():
                execute(conn, sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value)))
            if helpers is not None:
                at_most(conn, "max_parallel_maintenance_workers", helpers)
            for statement in chunk_index_statements(flow.rollout.plan, chunk.name, chunk.lacks):
                execute(conn, statement.sql)
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.DuplicateTable,
        psycopg.errors.UniqueViolation,
        psycopg.errors.InsufficientPrivilege,
    ):
        return Built.LEFT
    except psycopg.Error as error:
        if not is_transient(error):
            raise
        return Built.NOT_NOW
    return Built.BUILT
