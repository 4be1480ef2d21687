"""The SQL that looks at given pairs on both sides, by index.

Excused pairs are taken in groups no wider than a chunk, with the group's least and greatest time as literals:
TimescaleDB then excludes the other chunks when it plans. Without them each pair costs a look at every chunk
(2.5 ms for each pair at 500 chunks, measured).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from ..db import fetch_all
from ..db.connection import Connection
from ..ledger.flow import Flow, Side
from .statements import image_hash, pair_order, query

# Every pair is found by index on both sides; a slice's pairs are few against the tables.
BY_INDEX = {"jit": "off", "enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
MOST_GROUPS = 64
"""More groups than that are not worth a plan of their own under the cutover's lock."""


@dataclass(frozen=True)
class Group:
    """Excused pairs whose times lie between `low` and `high` (inclusive, as text); `low` None: pairs without
    a time."""

    low: str | None
    high: str | None
    pairs: int


def bucket_of(flow: Flow) -> sql.Composable:
    """The number of chunk widths since the origin at which the pair `x` lies."""
    column = flow.rollout.plan.inspection.time
    assert column is not None
    width = sql.Literal(flow.rollout.plan.interval.width)
    if column.base_type in ("pg_catalog.int2", "pg_catalog.int4", "pg_catalog.int8"):
        return sql.SQL("x.t::numeric / {}::numeric").format(width)
    if column.base_type in ("pg_catalog.timestamptz", "pg_catalog.timestamp", "pg_catalog.date"):
        return sql.SQL(
            "CASE WHEN isfinite(x.t) THEN EXTRACT(epoch FROM x.t)::numeric * 1000000 / {}::numeric END"
        ).format(width)
    return sql.SQL("0")


def excused_groups(conn: Connection, flow: Flow, started: object = None) -> list[Group]:
    """The excused pairs by chunk, of all verifications or of the one that began at `started`."""
    which = sql.SQL(" WHERE x.verification_started = {}").format(sql.Literal(started))
    statement = query("excused_groups").format(
        excused=flow.of_ledger("excused"),
        bucket=bucket_of(flow),
        which=sql.SQL("") if started is None else which,
    )
    return [Group(*row) for row in fetch_all(conn, statement)]


def within_group(flow: Flow, group: Group | None, time: sql.Composable) -> sql.Composable:
    """That the time lies in the group (None: any, but not NULL)."""
    if group is None:
        return sql.SQL("{} IS NOT NULL").format(time)
    if group.low is None:
        return sql.SQL("{} IS NULL").format(time)
    return sql.SQL(
        "{time} OPERATOR(pg_catalog.>=) {low}::{kind} AND {time} OPERATOR(pg_catalog.<=) {high}::{kind}"
    ).format(time=time, low=sql.Literal(group.low), high=sql.Literal(group.high), kind=flow.pairs.time.type)


def _of_pair(flow: Flow, side: Side, group: Group | None) -> sql.Composed:
    null_time = group is not None and group.low is None
    matches = flow.pairs.matches("e", "r", null_time=null_time)
    if group is not None and not null_time and side.hypertable:
        matches = sql.SQL("{} AND {}").format(matches, within_group(flow, group, flow.pairs.time.of_row("r")))
    return query("of_pair").format(
        hash=image_hash(flow, "r"), table=side.ident, row=sql.Identifier("r"), matches=matches
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
