"""Builds a chunk's indexes as soon as nothing is copied into it any more, all of them while its pages are still in memory.

From TimescaleDB 2.22 on an index that is made on the root alone (ON ONLY) takes those of its chunks that are equal for its own;
one that is made on the root as usual is made on every chunk, a second time where the chunk has it. Who may make them, and where
it helps, says `may_build`: the owner of a hypertable alone may not, as chunks are in a schema of TimescaleDB's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ..catalog import has
from ..db import at_most, execute, fetch_all, fetch_value, load_queries
from ..db.connection import Connection
from ..ledger.compressed import chunks
from ..ledger.flow import Flow
from ..ledger.objects import range_columns
from ..ledger.transaction import UNFLUSHED
from ..model.names import TableName, chunk_index_name
from ..model.statement import Statement
from .shadow import chunk_index_statements, plain_indexes, root_alone_statement

_FILE = "chunk_indexes.sql"
WAIT = "60s"
"""For a chunk's lock: nobody but our own workers, and an autovacuum, which gives way, uses the shadow."""


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


def copied_chunks(conn: Connection, flow: Flow, known: Collection[int]) -> list[CopiedChunk]:
    """The chunks but for the known ones (their OIDs) that nothing is copied into any more, oldest first."""
    queries = load_queries(__package__, _FILE)
    batch = flow.of_ledger("batch")
    time = flow.rollout.plan.inspection.time
    by_time = [name for name, _ in range_columns(flow)] == ["t"] and time is not None and time.base_type != "pg_catalog.uuid"
    below = queries["below"].format(batch=batch) if by_time else sql.SQL("")
    statement = queries["closed"].format(chunks=chunks(flow, status=False), batch=batch, below=below)
    found = []
    for oid, schema, name, there in fetch_all(conn, statement, {"known": list(known)}):
        wanted = names_on(str(name), plain_indexes(flow.rollout.plan))
        lacks = tuple((root, own) for root, own in wanted if not _is(flow, root, (there or {}).get(own)))
        found.append(CopiedChunk(TableName(str(schema), str(name)), int(oid), lacks))
    return found


def statements_of_root(conn: Connection, flow: Flow, name: str, group: Sequence[Statement]) -> Sequence[Statement]:
    """What makes the root's index (`group`), under a lock by which no chunk comes or goes: on the root alone where every chunk
    has it; where only some do, without these."""
    plan = flow.rollout.plan
    if name not in plain_indexes(plan) or not _adopts(flow):
        return group
    having, lacking = [], 0
    there = fetch_all(conn, load_queries(__package__, _FILE)["there"], {"root": flow.rollout.hypertable_oid})
    for schema, chunk, indexes in there:
        own = dict(names_on(chunk, plain_indexes(plan)))[name]
        if _is(flow, name, (indexes or {}).get(own)):
            having.append(TableName(schema, own))
        else:
            lacking += 1
    if having and not lacking:
        return [root_alone_statement(plan, flow.passive.name, name)]
    return [*(_drop(index) for index in having), *group]


def _is(flow: Flow, root: str, definition: str | None) -> bool:
    """Whether a chunk's index is the root's by its definition: of two long names that are cut to one the other may have it."""
    tail = next(index.tail for index in flow.rollout.plan.indexes if index.name == root)
    return definition is not None and definition.endswith(f" {tail}")


def _drop(index: TableName) -> Statement:
    return Statement(
        "index",
        f"the index {index} is made anew with those of the other chunks",
        sql.SQL("DROP INDEX {}").format(sql.Identifier(index.schema, index.name)),
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


def build(conn: Connection, flow: Flow, chunk: CopiedChunk, helpers: int | None) -> bool:
    """Builds what the chunk lacks, in one transaction, which the disk need not have at its end: what is lost is missed later.
    `helpers`: parallel workers at most. False where it is left to the root's index: the chunk was dropped, a name is taken, or
    the right is."""
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
        return False
    return True
