"""The SQL that looks at given pairs on both sides, by index.

Pairs are taken in groups of a chunk's width or a few, with the ends of these widths as literals (`spans`; among compressed
chunks the group's own times): TimescaleDB then excludes the other chunks when it plans. Without them each pair
costs a look at every chunk (2.5 ms for each pair at 500 chunks, measured). A statement for each chunk costs 3 to 6 ms, nearly
all of it planning, so neighbours that have few pairs share one: `together`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg import sql

from ..db import fetch_all
from ..db.connection import Connection
from ..ledger.compressed import compressed_below
from ..ledger.flow import Flow, Side
from .spans import span
from .statements import image_hash, pair_order, query

# Every pair is found by index on both sides; a slice's pairs are few against the tables. Which of a group's few chunks cannot
# hold a pair is not reckoned for each pair: that costs more than a look into their indexes.
BY_INDEX = {
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_indexscan": "on",
    "timescaledb.enable_runtime_exclusion": "off",
}
MOST_GROUPS = 64
"""More groups than that are not worth a plan of their own under the cutover's lock."""
PROBES_OF_STATEMENT = 2_000
"""A statement more costs about as much as so many looks into a chunk's index for a pair."""
PROBES_OF_CHUNK = 100
"""A chunk more in a statement, likewise."""

FAR = Decimal("-1e30")
"""Added to the numbers of groups in compressed chunks, so that none of these is taken for a neighbour of a chunk's."""


@dataclass(frozen=True)
class Group:
    """Excused pairs whose times lie between `low` and `high` (inclusive, as text); `low` None: pairs without
    a time. `first` and `last` count the chunk widths in which they lie from some origin; None: not to be told."""

    low: str | None
    high: str | None
    pairs: int
    first: Decimal | None = None
    last: Decimal | None = None


def together(groups: Iterable[Group]) -> list[Group]:
    """The groups, in the order of their times, with those as one that cost less so: each pair is then looked for in each chunk of
    the whole, and chunks between them that have no pair are planned too."""
    known: list[Group] = []
    others: list[Group] = []
    for group in groups:
        (others if group.first is None or group.last is None else known).append(group)
    out: list[Group] = []
    chunks = 0
    for group in sorted(known, key=lambda group: group.first or 0):
        if out:
            before = out[-1]
            assert before.first is not None
            assert group.last is not None
            pairs, width = before.pairs + group.pairs, int(group.last - before.first) + 1
            if pairs * width + (width - chunks - 1) * PROBES_OF_CHUNK <= PROBES_OF_STATEMENT:
                out[-1] = Group(before.low, group.high, pairs, before.first, group.last)
                chunks += 1
                continue
        out.append(group)
        chunks = 1
    return out + others


def bucket_of(flow: Flow, below: str | None = None) -> sql.Composable:
    """The number of chunk widths since the origin at which the pair `x` lies; where chunks are compressed (`below` that time) the
    time itself: rows are found there by literals alone, so pairs of one time at most share them."""
    bucket, exactly = _bucket(flow)
    if below is None:
        return bucket
    return sql.SQL("CASE WHEN x.t < {}::{} THEN {} + {} ELSE {} END").format(
        sql.Literal(below), flow.pairs.time.type, exactly, sql.Literal(FAR), bucket
    )


def _bucket(flow: Flow) -> tuple[sql.Composable, sql.Composable]:
    column = flow.rollout.plan.inspection.time
    assert column is not None
    width = sql.Literal(flow.rollout.plan.interval.width)
    if column.base_type in ("pg_catalog.int2", "pg_catalog.int4", "pg_catalog.int8"):
        return whole_widths(sql.SQL("x.t::numeric"), width), sql.SQL("x.t::numeric")
    if column.base_type in ("pg_catalog.timestamptz", "pg_catalog.timestamp", "pg_catalog.date"):
        micros = sql.SQL("EXTRACT(epoch FROM x.t)::numeric * 1000000")
        by_width = sql.SQL("CASE WHEN isfinite(x.t) THEN {} END").format(whole_widths(micros, width))
        return by_width, sql.SQL("CASE WHEN isfinite(x.t) THEN {} END").format(micros)
    return sql.SQL("0"), sql.SQL("0")


def whole_widths(units: sql.Composable, width: sql.Composable) -> sql.Composed:
    """How many whole widths, downwards. A quotient would be rounded: the last nanoseconds of a day are the next day's then."""
    return sql.SQL("(div({u}, {w}::numeric) - CASE WHEN mod({u}, {w}::numeric) < 0 THEN 1 ELSE 0 END)").format(u=units, w=width)


def excused_groups(conn: Connection, flow: Flow, started: object = None) -> list[Group]:
    """The excused pairs by chunk, or a few chunks together, of all verifications or of the one that began at `started`."""
    which = sql.SQL(" WHERE x.verification_started = {}").format(sql.Literal(started))
    statement = query("excused_groups").format(
        excused=flow.of_ledger("excused"),
        bucket=bucket_of(flow, compressed_below(conn, flow)),
        which=sql.SQL("") if started is None else which,
    )
    return groups_of(fetch_all(conn, statement))


def groups_of(rows: Iterable[tuple[Any, ...]]) -> list[Group]:
    """From rows of `backlog_groups` or `excused_groups`."""
    return together(
        Group(low, high, pairs, place if low is not None else None, place if low is not None else None)
        for low, high, pairs, place in rows
    )


def within_group(flow: Flow, group: Group | None, time: sql.Composable) -> sql.Composable:
    """That the time lies in the group (None: any, but not NULL)."""
    if group is None:
        return sql.SQL("{} IS NOT NULL").format(time)
    if group.low is None:
        return sql.SQL("{} IS NULL").format(time)
    return sql.SQL(
        "{time} OPERATOR(pg_catalog.>=) {low}::{kind} AND {time} OPERATOR(pg_catalog.<=) {high}::{kind}"
    ).format(time=time, low=sql.Literal(group.low), high=sql.Literal(group.high), kind=flow.pairs.time.type)


def _within_chunks(flow: Flow, group: Group, time: sql.Composable) -> sql.Composable | None:
    """That the time lies in the group's chunk widths; None where these are not known, or where rows are found by the group's own
    times alone: in compressed chunks, whose groups have numbers far from all others."""
    column = flow.rollout.plan.inspection.time
    assert column is not None
    if group.first is None or group.last is None or group.first < FAR / 2:
        return None
    ends = span(column.base_type, flow.rollout.plan.interval.width, group.first, group.last)
    if ends is None:
        return None
    terms = [
        sql.SQL("{} OPERATOR(pg_catalog.{}) {}::{}").format(
            time, sql.SQL(operator), sql.Literal(end), flow.pairs.time.type
        )
        for operator, end in zip((">=", "<"), ends, strict=True)
        if end is not None
    ]
    return sql.SQL(" AND ").join(terms) if terms else sql.SQL("true")


def _of_pair(flow: Flow, side: Side, group: Group | None) -> sql.Composed:
    null_time = group is not None and group.low is None
    time, by_key = flow.pairs.time.of_row("r"), not side.hypertable
    limits: sql.Composable = sql.SQL("")
    if group is not None and not null_time and side.hypertable:
        wide = _within_chunks(flow, group, time)
        by_key = wide is not None
        limits = sql.SQL(" AND {}").format(within_group(flow, group, time) if wide is None else wide)
    matches = flow.pairs.matches("e", "r", null_time=null_time, by_key=by_key)
    return query("of_pair").format(
        hash=image_hash(flow, "r"),
        table=side.ident,
        row=sql.Identifier("r"),
        matches=sql.SQL("{}{}").format(matches, limits),
    )


def both_of_pair(flow: Flow, group: Group | None) -> tuple[sql.Composed, sql.Composed]:
    """Subselects with the number and the hash sum of the rows of the pair `e`, on the active and on the passive side."""
    return _of_pair(flow, flow.active, group), _of_pair(flow, flow.passive, group)


def _both(flow: Flow, name: str, pairs: sql.Composable, group: Group | None) -> sql.Composed:
    return query(name).format(
        pairs=pairs,
        columns_e=flow.pairs.columns("e"),
        of_source=_of_pair(flow, flow.active, group),
        of_target=_of_pair(flow, flow.passive, group),
        which=within_group(flow, group, sql.Identifier("e", "t")),
    )


def _logged(flow: Flow, pair: str) -> sql.Composed:
    """That the pair stands in the backlog, or a TRUNCATE does; an equality for each kind of time, so that it can be hashed."""
    keys: list[sql.Composable] = [sql.SQL("g.op <> 'T'")]
    keys += [
        sql.SQL("{} {} {}").format(sql.Identifier("g", f.name), f.equals, sql.Identifier(pair, f.name))
        for f in flow.pairs.fields
        if not f.is_time
    ]
    return sql.SQL(
        "(EXISTS (SELECT FROM {log} AS g WHERE {keys} AND g.t = {t}) OR "
        "({t} IS NULL AND EXISTS (SELECT FROM {log} AS g WHERE {keys} AND g.t IS NULL)) OR "
        "EXISTS (SELECT FROM {log} AS g WHERE g.op = 'T'))"
    ).format(log=flow.log, keys=sql.SQL(" AND ").join(keys), t=sql.Identifier(pair, "t"))


def look_again(flow: Flow, group: Group) -> sql.Composed:
    """One slice of a group's excused pairs behind `%(after)s`: its last place (NULL: none left), how many
    were proved to differ, the first of them as JSON."""
    return query("look_again").format(
        columns=flow.pairs.columns(),
        excused=flow.of_ledger("excused"),
        within=within_group(flow, group, sql.Identifier("x", "t")),
        looks=_both(flow, "look_at_pairs", sql.Identifier("slice"), group),
        logged=_logged(flow, "d"),
        pair=flow.pairs.as_json("d"),
        order=pair_order(flow, "judged"),
    )


def excused_check(flow: Flow, groups: Sequence[Group] | None = None) -> sql.Composed:
    """A boolean expression: every excused pair is equal on both sides now. For use under the cutover's lock,
    once the backlog is drained.

    It has no parameters and may stand in a DO block. Give it the `groups` from `excused_groups`, read shortly
    before: they spare the server a plan of every chunk, or all of it where there are none; a pair that lies in
    none of them makes it false.
    """
    excused = flow.of_ledger("excused")
    null_time = Group(None, None, 0)
    if groups is None or len(groups) > MOST_GROUPS:
        unequal = [_both(flow, "unequal", excused, None), _both(flow, "unequal", excused, null_time)]
        return sql.SQL("(NOT {} AND NOT {})").format(*unequal)
    covered: list[sql.Composable] = [sql.SQL("false")]
    covered += [
        sql.SQL("({})").format(within_group(flow, group, sql.Identifier("e", "t"))) for group in groups
    ]
    outside = sql.SQL("EXISTS (SELECT FROM {} AS e WHERE ({}) IS NOT TRUE)").format(
        excused, sql.SQL(" OR ").join(covered)
    )
    parts = [outside, *(_both(flow, "unequal", excused, group) for group in groups)]
    return sql.SQL("(NOT ({}))").format(sql.SQL(" OR ").join(parts))
