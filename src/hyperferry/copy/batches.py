"""Batches: ranges of the time, else of the key, open at both ends, so that together they cover every row that there is.

The boundaries are hints about size, no more: rows that come, go or move while they are looked for are covered all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from psycopg import sql

from ..db import execute, fetch_all, fetch_one, fetch_value, load_queries
from ..db.connection import Connection
from ..ledger.flow import Flow
from ..ledger.objects import range_columns, range_fields
from ..ledger.pairs import PairField
from ..model.inspection import Column
from ..model.plan import BatchBy

Bound = tuple[str, ...]
"""A boundary: the values of the range columns as text."""

JOINED_CHUNKS = 20
"""So many small chunks at most are one batch."""
LOOKED_AT_PAGES = 2_000
"""So many pages of a table without an index on the time are looked at for its chunks (16 MB), or so many for each chunk."""
LOOKED_AT_FOR_EACH = 12


@dataclass(frozen=True)
class Cuts:
    """The boundaries in order, and the time or key of a row in each chunk that the rows will lie in, as far as it is known."""

    bounds: tuple[Bound, ...]
    firsts: tuple[Bound, ...] = ()


_MOMENT_END = (
    "CASE WHEN {t} < '200000-01-01' THEN (pg_catalog.to_timestamp("  # beyond, the end might be no time that there is
    "((pg_catalog.floor(EXTRACT(epoch FROM {t})::numeric * 1000000 / {width}) + 1) * {width} / 1000000)::float8"
    "){zone})::{kind} END"
)


Names = dict[str, sql.Composable]


def _names(conn: Connection, flow: Flow) -> Names:
    """What the statements of `batches.sql` are made of. Qualified, as ORDER BY would otherwise mean an output column."""
    column = flow.rollout.plan.inspection.time
    assert column is not None
    queries = load_queries(__package__, "batches.sql")
    nulls_first = fetch_value(conn, queries["nulls_first"], {"oid": flow.active.oid, "column": column.number})
    return {
        "table": flow.active.ident,
        "t": sql.Identifier("s", column.name),
        # The end of the last chunk may lie beyond a smaller integer's type.
        "kind": sql.SQL("int8") if _counts(column) else flow.pairs.time.type,
        # None is NULL, but an index serves only the order that it has: any other sorts the rest of the table for each look.
        "upwards": sql.SQL("ASC NULLS FIRST" if nulls_first else "ASC NULLS LAST"),
    }


def _counts(column: Column) -> bool:
    return column.base_type in ("pg_catalog.int2", "pg_catalog.int4", "pg_catalog.int8")


def _chunk_end(flow: Flow, names: Names) -> sql.Composable | None:
    """The end of the chunk in which a time lies, if chunks are aligned as TimescaleDB does by default: to multiples of their
    width since 1970 (or since 0); NULL where there is none. None for types without such arithmetic. It does not matter for
    correctness."""
    column = flow.rollout.plan.inspection.time
    assert column is not None
    names = {**names, "width": sql.Literal(flow.rollout.plan.interval.width)}
    if _counts(column):
        end = "LEAST((pg_catalog.floor({t}::numeric / {width}) + 1) * {width}, 9223372036854775807)::int8"
        return sql.SQL(end).format(**names)
    if column.base_type not in ("pg_catalog.timestamptz", "pg_catalog.timestamp", "pg_catalog.date"):
        return None
    zone = "" if column.base_type == "pg_catalog.timestamptz" else " AT TIME ZONE 'UTC'"
    return sql.SQL(_MOMENT_END).format(zone=sql.SQL(zone), **names)


@dataclass(frozen=True)
class _Part:
    """The rows of one chunk: the first time in it, as text, and its end."""

    first: str
    end: str | None


def _parts(conn: Connection, flow: Flow, names: Names) -> list[_Part]:
    """The chunks that the source's rows will lie in, by a look at its index for each. Without the arithmetic: one part."""
    end = _chunk_end(flow, names)
    queries = load_queries(__package__, "batches.sql")
    if end is None:
        found = fetch_value(conn, queries["first"].format(**names))
        return [] if found is None else [_Part(found, None)]
    return [_Part(*row) for row in fetch_all(conn, queries["parts"].format(end=end, **names))]


def _inner_boundaries(conn: Connection, names: Names, part: _Part, rows: int) -> Iterator[str]:
    """Boundaries along the index within a part, at most `rows` rows apart, as far as rows of one time allow."""
    queries = load_queries(__package__, "batches.sql")
    cur: str | None = part.first
    while cur is not None:
        params = {"cur": cur, "end": part.end, "n": rows}
        found = fetch_value(conn, queries["further"].format(**names), params)
        if found == cur:  # more rows of one time than a batch should have
            found = fetch_value(conn, queries["after"].format(**names), params)
        if found is not None:
            yield found
        cur = found


def _size(conn: Connection, names: Names, part: _Part, *, trusted: bool, most: int) -> int:
    """How many rows lie in the part: by the server's statistics where they can be trusted, else counted, up to one more than
    `most`."""
    if part.end is None:
        return most + 1
    ends = {"first": sql.Literal(part.first), "end": sql.Literal(part.end)}
    statement = load_queries(__package__, "batches.sql")["estimate" if trusted else "count"]
    found = fetch_value(conn, statement.format(**names, **ends), {"most": most + 1})
    return int(found[0]["Plan"]["Plan Rows"]) if trusted else max(1, int(found))  # its end may be its last time


def _time_cuts(conn: Connection, flow: Flow) -> Cuts:
    """A batch is part of a chunk, a chunk, or some small ones together: about `batch_rows` rows."""
    most = flow.rollout.plan.batch_rows
    names = _names(conn, flow)
    parts = _parts(conn, flow, names)
    trusted = bool(fetch_value(conn, load_queries(__package__, "batches.sql")["trusted"], {"oid": flow.active.oid}))
    bounds: list[Bound] = []
    rows = chunks = 0
    for part in parts:
        size = _size(conn, names, part, trusted=trusted, most=most)
        if chunks and (rows + size > most or chunks >= JOINED_CHUNKS):
            bounds.append((part.first,))
            rows = chunks = 0
        rows, chunks = rows + size, chunks + 1
        if size > most:
            bounds += [(inner,) for inner in _inner_boundaries(conn, names, part, most)]
    return Cuts(tuple(bounds), tuple((part.first,) for part in parts))


def _key_boundaries(conn: Connection, flow: Flow) -> Iterator[Bound]:
    """Boundaries along the unique index of the identity, `batch_rows` rows apart."""
    plan = flow.rollout.plan
    own = [field.of_row("s") for field in range_fields(flow)]
    columns = sql.SQL(", ").join(own)
    texts = _texts(range_fields(flow))
    placeholders = sql.SQL(", ").join(sql.SQL("%s::{}").format(kind) for _, kind in range_columns(flow))
    order = sql.SQL("ORDER BY {} OFFSET {} LIMIT 1").format(columns, sql.Literal(plan.batch_rows))
    first = sql.SQL("SELECT {} FROM {} AS s {}").format(texts, flow.active.ident, order)
    further = sql.SQL("SELECT {} FROM {} AS s WHERE ROW({}) OPERATOR(pg_catalog.>=) ROW({}) {}").format(
        texts, flow.active.ident, columns, placeholders, order
    )
    row = fetch_one(conn, first)
    while row is not None:
        yield tuple(row)
        row = fetch_one(conn, further, list(row))


def _first_rows_of_chunks(conn: Connection, flow: Flow) -> tuple[Bound, ...]:
    """The key of the first row in each chunk, by the index on the time. Without arithmetic for the time's type: of one."""
    names = _names(conn, flow)
    statement = load_queries(__package__, "batches.sql")["keys_at_times"].format(**names, texts=_texts(range_fields(flow)))
    return tuple(tuple(row) for row in fetch_all(conn, statement, {"times": [part.first for part in _parts(conn, flow, names)]}))


def _texts(fields: Sequence[PairField]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{}::text").format(field.of_row("s")) for field in fields)


def _rows_of_chunks(conn: Connection, flow: Flow) -> tuple[Bound, ...]:
    """The key of a row in each chunk, by a look at some of the table's pages: rows of a chunk mostly lie together, so that few
    chunks are not met, or where they are scattered, none. Without arithmetic for the time's type: none."""
    column, plan = flow.rollout.plan.inspection.time, flow.rollout.plan
    assert column is not None
    names: Names = {"t": sql.Identifier("s", column.name), "width": sql.Literal(plan.interval.width)}
    if _counts(column):
        bucket, finite = "pg_catalog.floor({t}::float8 / {width}::float8)", "true"
    elif column.base_type in ("pg_catalog.timestamptz", "pg_catalog.timestamp", "pg_catalog.date"):
        bucket = "pg_catalog.floor(EXTRACT(epoch FROM {t})::float8 * 1000000 / {width}::float8)"
        finite = "pg_catalog.isfinite({t})"
    else:
        return ()
    queries = load_queries(__package__, "batches.sql")
    pages = int(fetch_value(conn, queries["pages"], {"oid": flow.active.oid}))
    rows = queries["rows_of_chunks"].format(
        table=flow.active.ident,
        t=names["t"],
        bucket=sql.SQL(bucket).format(**names),
        finite=sql.SQL(finite).format(**names),
    )
    keys = queries["keys_of_rows"].format(
        table=flow.active.ident,
        texts=_texts(range_fields(flow)),
    )
    scan = plan.inspection.scan
    wanted = max(LOOKED_AT_PAGES, LOOKED_AT_FOR_EACH * (scan.buckets if scan is not None else 0))
    percent = min(100.0, 100.0 * wanted / max(pages, 1))
    places = fetch_value(conn, rows, {"percent": percent})
    return tuple(tuple(row) for row in fetch_all(conn, keys, {"places": places}))


def cut(conn: Connection, flow: Flow) -> Cuts:
    """Where the source is cut. Reads its index, in short statements of their own: where the statistics are of today a few rows of
    each chunk, else once."""
    by = flow.rollout.plan.batch_by
    if by is BatchBy.TIME:
        return _time_cuts(conn, flow)
    if by is BatchBy.KEY:
        indexed = flow.rollout.plan.inspection.has_time_index
        firsts = _first_rows_of_chunks(conn, flow) if indexed else _rows_of_chunks(conn, flow)
        return Cuts(tuple(_key_boundaries(conn, flow)), firsts)
    return Cuts(())


def record_batches(conn: Connection, flow: Flow, cuts: Sequence[Bound]) -> int:
    """Writes the batches between the cuts into the ledger, in the caller's transaction; returns their number."""
    columns = range_columns(flow)
    batch = flow.of_ledger("batch")
    execute(conn, sql.SQL("DELETE FROM {} WHERE state = 'pending'").format(batch))
    if not columns:
        execute(conn, sql.SQL("INSERT INTO {} DEFAULT VALUES").format(batch))
        return 1
    nothing: tuple[None, ...] = (None,) * len(columns)
    edges: list[tuple[str | None, ...]] = [nothing, *cuts, nothing]
    names = [sql.Identifier(f"{end}_{name}") for end in ("lo", "hi") for name, _ in columns]
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        batch,
        sql.SQL(", ").join(names),
        sql.SQL(", ").join(sql.SQL("%s::{}").format(kind) for _ in ("lo", "hi") for _, kind in columns),
    )
    with conn.cursor() as cursor:
        cursor.executemany(statement, [(*low, *high) for low, high in pairwise(edges)])
    return len(edges) - 1
