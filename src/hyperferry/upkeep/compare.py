"""The statement that compares what an aggregate keeps with what its query gives, for a span of buckets, at one
snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from ..errors import Refused
from ..model.statement import Fragment
from .aggregate_facts import Aggregate, counted, time_from
from .query_text import restricted

MOST_ROWS = 500
"""Differing rows that one statement gives, about; but some of each bucket that differs."""
RELATIVE, ABSOLUTE = 1e-9, 1e-12
"""How far two floats may lie apart: a sum depends on the order in which its terms are added. float4 has half of the
digits."""
FLOAT4_FACTOR = 1e5
FLOATS = {"float8": 1.0, "float4": FLOAT4_FACTOR}


@dataclass(frozen=True)
class Columns:
    """The aggregate's columns: those that tell its rows apart, the others, and which of these are floats (with what
    the tolerance is multiplied by)."""

    keys: tuple[str, ...]
    others: tuple[str, ...]
    floats: dict[str, float]
    keyed: bool


def columns_of(aggregate: Aggregate, types: dict[str, str]) -> Columns:
    """The columns by their names, with the types of the rows that are kept. Raises Refused where the two do not agree."""
    query = aggregate.query
    unknown = [name for name in query.columns if name not in types]
    if unknown:
        raise Refused(
            f"The columns of {aggregate.name} are not those of its query.",
            facts={"not kept": ", ".join(unknown)},
            remedy="compare it by hand.",
        )
    if not query.keyed:
        rest = tuple(name for name in query.columns if name != aggregate.time)
        return Columns((aggregate.time, *rest), (), {}, False)
    keys = (aggregate.time, *(name for name in query.keys if name != aggregate.time))
    others = tuple(name for name in query.columns if name not in keys)
    return Columns(
        keys, others, {name: FLOATS[types[name]] for name in others if types[name] in FLOATS}, True
    )


def raw_query(aggregate: Aggregate, first: int, end: int) -> sql.Composed:
    """The aggregate's query for the buckets from `first` up to and without `end`: told of the rows that it reads as
    well as of its result, since an expression of months or zones alone would have it read the whole table."""
    definition = aggregate.definition.strip().rstrip(";")
    kind = aggregate.kind
    if aggregate.source_kind == kind:
        moment = aggregate.bucketing.time
        low, high = (time_from(count, kind).as_string(None) for count in (first, end))
        definition = restricted(definition, f"{moment} >= {low} AND {moment} < {high}")
    return sql.SQL("SELECT * FROM ({}) AS q WHERE {}").format(
        Fragment(definition), _within(aggregate, sql.Identifier("q", aggregate.time), first, end)
    )


def _within(aggregate: Aggregate, column: sql.Composable, first: int, end: int) -> sql.Composed:
    kind = aggregate.kind
    return sql.SQL("{0} >= {1} AND {0} < {2}").format(column, time_from(first, kind), time_from(end, kind))


def statement(aggregate: Aggregate, columns: Columns, first: int, end: int, buckets: int = 1) -> sql.Composed:
    """Gives the number of buckets that have rows on either side, and the rows that differ: the bucket's count and
    text, the rows on either side, the keys as text, then for each other column what is kept and what the query gives,
    as text, and whether they are the same.

    Of each bucket some of the rows that are kept, and some of those that are not: none that differs is passed over because
    another one has many, however many `buckets` there are (about).

    Two floats are the same within the tolerance, anything else by its text.
    """
    keys = sql.SQL(", ").join(map(sql.Identifier, columns.keys))
    names = sql.SQL(", ").join(map(sql.Identifier, (*columns.keys, *columns.others)))
    sides, picked = [], []
    for number, name in enumerate(columns.others):
        for side in (1, 2):
            value = sql.SQL("max({}::text) FILTER (WHERE side = {})").format(
                sql.Identifier(name), sql.Literal(side)
            )
            sides.append(sql.SQL("{} AS {}").format(value, sql.Identifier(f"hf_v{number}_{side}")))
        a, b = sql.Identifier(f"hf_v{number}_1"), sql.Identifier(f"hf_v{number}_2")
        picked.append(sql.SQL("{}, {}, {}").format(a, b, _same(a, b, columns.floats.get(name))))
    same = sql.SQL(" AND ").join(
        [
            sql.SQL("hf_n1 = hf_n2"),
            *(
                _same(sql.Identifier(f"hf_v{n}_1"), sql.Identifier(f"hf_v{n}_2"), columns.floats.get(name))
                for n, name in enumerate(columns.others)
            ),
        ]
    )
    time = sql.Identifier(aggregate.time)
    shown = sql.SQL(", ").join(
        [
            counted(time, aggregate.kind),
            sql.SQL("{}::text").format(time),
            sql.SQL("hf_n1, hf_n2"),
            *(sql.SQL("{}::text").format(sql.Identifier(name)) for name in columns.keys),
            *picked,
        ]
    )
    return sql.SQL(
        "WITH hf_both AS (SELECT 1 AS side, {names} FROM {kept} WHERE {within} UNION ALL SELECT 2, {names} FROM ({raw}) AS r), "
        "hf_rows AS MATERIALIZED (SELECT {keys}, count(*) FILTER (WHERE side = 1) AS hf_n1, "
        "count(*) FILTER (WHERE side = 2) AS hf_n2{values} "
        "FROM hf_both GROUP BY {keys}) "
        "SELECT (SELECT count(DISTINCT {time}) FROM hf_rows), d.* FROM (SELECT 1) AS one LEFT JOIN LATERAL ("
        "SELECT {shown} FROM (SELECT *, row_number() OVER (PARTITION BY {time}, hf_n1 > 0) AS hf_turn "
        "FROM hf_rows WHERE NOT ({same})) AS hf_t WHERE hf_turn <= {most} ORDER BY 1) AS d ON true"
    ).format(
        names=names,
        keys=keys,
        kept=sql.Identifier(aggregate.kept.schema, aggregate.kept.name),
        within=_within(aggregate, time, first, end),
        raw=raw_query(aggregate, first, end),
        values=sql.SQL("").join(sql.SQL(", {}").format(each) for each in sides),
        time=time,
        shown=shown,
        same=same,
        most=sql.Literal(max(1, MOST_ROWS // buckets)),
    )


def _same(a: sql.Composable, b: sql.Composable, floats: float | None) -> sql.Composed:
    """Whether two values, as text, are the same."""
    equal = sql.SQL("{} IS NOT DISTINCT FROM {}").format(a, b)
    if floats is None:
        return equal
    # By numeric: neither the difference nor the tolerance can overflow, and the infinities are out of it.
    return sql.SQL(
        "CASE WHEN {equal} THEN true WHEN {a} IS NULL OR {b} IS NULL OR {a} IN ('NaN', 'Infinity', '-Infinity') "
        "OR {b} IN ('NaN', 'Infinity', '-Infinity') THEN false ELSE abs({a}::numeric - {b}::numeric) "
        "<= {absolute} + {relative} * greatest(abs({a}::numeric), abs({b}::numeric)) END"
    ).format(
        equal=equal,
        a=a,
        b=b,
        relative=sql.SQL(f"{RELATIVE * floats:.20f}"),
        absolute=sql.SQL(f"{ABSOLUTE * floats:.20f}"),
    )
