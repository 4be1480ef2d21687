"""Changes to compressed chunks.

A compressed chunk keeps rows a thousand at a time, by segment and order. A DELETE opens every batch that the constants in its
WHERE do not exclude, and the log's pairs are no constants: ten pairs a few days apart opened 500,000 rows (16 s), each named by
constants 1,000. So the rows that are there are looked up first, by a join that reads the chunk and opens nothing (0.3 s), and
each is deleted by its own segment, time and key. What is not there, as the pair of a new row, opens nothing at all. Where a slice
changes very many rows of one chunk, opening it at once is cheaper, and later slices find it open; it is compressed again in the
end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from psycopg import sql

from ..db import execute, fetch_all, fetch_value
from ..db.connection import Connection
from ..ledger.flow import Flow
from ..ledger.pairs import PairField, type_name
from ..model.rollout import Phase
from ..model.statement import fragment
from . import slices
from .window import Bounds, Group

_LIMIT = "timescaledb.max_tuples_decompressed_per_dml_transaction"
SLICE_ROWS = 1_000
"""Fewer than of an uncompressed table: a row may take some milliseconds."""
MOST_APART = 300
"""So many rows of a group are deleted each by its constants; more, and everything between its bounds is opened."""

_LITERAL = frozenset(
    f'"pg_catalog"."{name}"'
    for name in ("bool", "int2", "int4", "int8", "oid", "uuid", "date", "timestamp", "timestamptz", "text", "varchar")
)
"""Types of keys whose text gives the value back, beyond doubt."""


def may_be_compressed(flow: Flow) -> bool:
    """Whether the hypertable that changes go to may have compressed chunks: by the plan, or by whatever was done to it while the
    application used it, before a rollback."""
    return flow.rollout.plan.compression is not None or (
        flow.passive.hypertable and flow.rollout.phase is Phase.ROLLED_BACK
    )


def settings(conn: Connection) -> dict[str, str]:
    """No limit to what a transaction opens: whole segments may have to be, and the limit is for an application's mistakes.
    Nothing where the server has none."""
    known = fetch_value(conn, "SELECT current_setting(%s, true) IS NOT NULL", [_LIMIT])
    return {_LIMIT: "0"} if known else {}


def cold(conn: Connection, flow: Flow, groups: Sequence[Group], below: str | None) -> frozenset[Bounds]:
    """The bounds of those groups that begin where chunks are compressed."""
    bounds = [group.bounds for group in groups if group.bounds is not None]
    if below is None or not bounds:
        return frozenset()
    rows = fetch_all(
        conn,
        sql.SQL(
            "SELECT l.place FROM pg_catalog.unnest(%(lows)s::text[]) WITH ORDINALITY AS l(low, place) "
            "WHERE l.low::{kind} OPERATOR(pg_catalog.<) {below}::{kind}"
        ).format(kind=flow.pairs.time.type, below=sql.Literal(below)),
        {"lows": [low for low, _ in bounds]},
    )
    return frozenset(bounds[place - 1] for (place,) in rows)


@contextmanager
def joined_freely(conn: Connection) -> Iterator[None]:
    """Within a transaction: compressed rows may be read once and joined, instead of once for each pair."""
    execute(conn, "SET LOCAL enable_hashjoin = on")
    yield
    execute(conn, "SET LOCAL enable_hashjoin = off")


def delete(conn: Connection, flow: Flow, group: Group) -> None:
    """Deletes every target row with one of the group's pairs, from chunks that may be compressed."""
    assert group.bounds is not None
    with joined_freely(conn):
        found = fetch_all(conn, existing(flow, group.bounds), {"ids": group.ids.text})
    if len(found) > MOST_APART:
        execute(conn, slices.delete(flow, group.bounds), {"ids": group.ids.text})
        return
    for constants, ids in found:
        execute(conn, delete_one(flow, fragment(constants)), {"ids": ids})


def delete_one(flow: Flow, constants: sql.Composable, ids: sql.Composable = slices.IDS) -> sql.Composed:
    """Deletes the rows of one pair. The pair is what is asked for; the constants only say where it lies."""
    return sql.SQL("{} {}").format(slices.delete(flow, None, ids), constants)


def existing(flow: Flow, bounds: Bounds, ids: sql.Composable = slices.IDS) -> sql.Composed:
    """The pairs that have rows in the target: a condition that says where these lie, as SQL text, and the pair's log ids as
    text."""
    pairs = flow.pairs
    parts = [_constant("t", pairs.time, sql.SQL("p.t"), null=False)]
    parts += [_constant("t", field, sql.Identifier("p", field.name), null=False) for field in pairs.fields if _is_plain(field)]
    segments = _segments(flow)
    parts += [_constant("t", field, field.of_row("t"), null=True) for field in segments]
    values = [field.of_row("t") for field in segments]
    return sql.SQL(
        "SELECT pg_catalog.concat({parts}) AS constants, p.ids::text FROM (SELECT {pair}, pg_catalog.array_agg(l.id) "
        "AS ids FROM {log} AS l "
        "WHERE l.id = ANY({ids}) GROUP BY {pair}) AS p JOIN {target} AS t ON {match}{limits} GROUP BY p.ids, {grouped}"
    ).format(
        parts=sql.SQL(", ").join(parts),
        pair=pairs.columns("l"),
        log=flow.log,
        ids=ids,
        target=flow.passive.ident,
        match=pairs.matches("p", "t"),
        limits=slices.limits(flow, "t", bounds),
        grouped=sql.SQL(", ").join([pairs.columns("p"), *values]),
    )


def _is_plain(field: PairField) -> bool:
    return not field.is_time and field.name != "h" and field.collation is None and field.type.as_string(None) in _LITERAL


def _segments(flow: Flow) -> list[PairField]:
    """The columns that segment, as fields; those of the pair itself are said already."""
    inspection, wish = flow.rollout.plan.inspection, flow.rollout.plan.compression
    own = {field.label for field in flow.pairs.fields if field.is_time or _is_plain(field)}
    found: list[PairField] = []
    for name in wish.segment_by if wish is not None else ():
        column = inspection.column(name)
        if column is not None and name not in own:
            found.append(PairField(name, type_name(column), _reader(name), sql.SQL("OPERATOR(pg_catalog.=)"), name))
    return found


def _reader(column: str) -> Callable[[str], sql.Composed]:
    return lambda alias: sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(column))


def _constant(alias: str, field: PairField, value: sql.Composable, *, null: bool) -> sql.Composed:
    """An expression that gives ` AND "t"."n" = '5'::int4` as text."""
    column = field.of_row(alias).as_string(None)
    operators = (">=", "<=") if field.is_time else ("=",)
    given: list[sql.Composable] = []
    for operator in operators:
        equals = f"OPERATOR(pg_catalog.{operator})" if field.is_time else field.equals.as_string(None)
        given += [
            sql.Literal(f" AND {column} {equals} "),
            sql.SQL("pg_catalog.quote_literal(({})::text)").format(value),
            sql.Literal(f"::{field.type.as_string(None)}"),
        ]
    text = sql.SQL("pg_catalog.concat({})").format(sql.SQL(", ").join(given))
    if not null:
        return text
    return sql.SQL("CASE WHEN {} IS NULL THEN {} ELSE {} END").format(value, sql.Literal(f" AND {column} IS NULL"), text)
