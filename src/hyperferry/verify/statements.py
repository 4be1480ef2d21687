"""The SQL of a verification: the statements of `verify.sql` with the names, pairs and hashes of one flow put
in."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from ..db import load_queries
from ..ledger.flow import Flow, Side
from ..ledger.image import exact_hash
from .ranges import Range, dropped_condition, pair_condition, row_condition

Dropped = Sequence[tuple[str, str]]


def query(name: str) -> sql.SQL:
    """A statement of `verify.sql`."""
    return load_queries(__package__, "verify.sql")[name]


def _hash(flow: Flow, alias: str) -> sql.Composed:
    return exact_hash(alias, flow.rollout.plan.inspection.columns)


def _order(flow: Flow, alias: str) -> sql.Composed:
    names = ["t", *(f.name for f in flow.pairs.fields if not f.is_time)]
    return sql.SQL(", ").join(sql.SQL("{} NULLS FIRST").format(sql.Identifier(alias, name)) for name in names)


def compare(flow: Flow, within: Range, dropped: Dropped) -> sql.Composed:
    """Rows on both sides, whether their multisets are equal, and the rows in dropped ranges on both sides."""
    return query("compare").format(
        source=flow.active.ident,
        target=flow.passive.ident,
        s_hash=_hash(flow, "s"),
        t_hash=_hash(flow, "t"),
        s_range=row_condition(flow, within, "s"),
        t_range=row_condition(flow, within, "t"),
        s_dropped=dropped_condition(flow, dropped, "s"),
        t_dropped=dropped_condition(flow, dropped, "t"),
    )


def _differing(flow: Flow, within: Range, dropped: Dropped) -> sql.Composed:
    return query("differing").format(
        columns=flow.pairs.columns(),
        source=flow.active.ident,
        target=flow.passive.ident,
        log=flow.log,
        s_pair=flow.pairs.of_row("s"),
        t_pair=flow.pairs.of_row("t"),
        l_pair=flow.pairs.columns("l"),
        s_hash=_hash(flow, "s"),
        t_hash=_hash(flow, "t"),
        s_range=row_condition(flow, within, "s"),
        t_range=row_condition(flow, within, "t"),
        l_range=pair_condition(flow, within, "l"),
        s_dropped=dropped_condition(flow, dropped, "s"),
        t_dropped=dropped_condition(flow, dropped, "t"),
    )


def drill(flow: Flow, within: Range, dropped: Dropped) -> sql.Composed:
    """Keeps the range's excused pairs as of `%(started)s`; their number, the others' number, the first
    `%(limit)s` of these as JSON."""
    return query("drill").format(
        differing=_differing(flow, within, dropped),
        excused=flow.of_ledger("excused"),
        columns=flow.pairs.columns(),
        pair=flow.pairs.as_json("d"),
        order=_order(flow, "differing"),
    )


def repair(flow: Flow, within: Range, dropped: Dropped) -> sql.Composed:
    """Puts the range's differing pairs into the backlog; returns their number."""
    return query("repair").format(
        differing=_differing(flow, within, dropped), log=flow.log, columns=flow.pairs.columns()
    )


def repair_proved(flow: Flow) -> sql.Composed:
    """Puts the pairs that were excused and then found to differ into the backlog; returns their number."""
    return query("repair_proved").format(
        log=flow.log, excused=flow.of_ledger("excused"), columns=flow.pairs.columns()
    )


def _of_pair(flow: Flow, side: Side, alias: str, pair: str, *, null_time: bool) -> sql.Composed:
    return query("of_pair").format(
        hash=_hash(flow, alias),
        table=side.ident,
        row=sql.Identifier(alias),
        matches=flow.pairs.matches(pair, alias, null_time=null_time),
    )


def _both(flow: Flow, name: str, pairs: sql.Composable, *, null_time: bool) -> sql.Composed:
    return query(name).format(
        pairs=pairs,
        columns_e=flow.pairs.columns("e"),
        of_source=_of_pair(flow, flow.active, "r", "e", null_time=null_time),
        of_target=_of_pair(flow, flow.passive, "r", "e", null_time=null_time),
        which=sql.SQL("e.t IS NULL" if null_time else "e.t IS NOT NULL"),
    )


def _logged(flow: Flow, pair: str) -> sql.Composed:
    """That the pair stands in the backlog; an equality for each kind of time, so that it can be hashed."""
    keys: list[sql.Composable] = [sql.SQL("g.op <> 'T'")]
    keys += [
        sql.SQL("{} {} {}").format(sql.Identifier("g", f.name), f.equals, sql.Identifier(pair, f.name))
        for f in flow.pairs.fields
        if not f.is_time
    ]
    return sql.SQL(
        "(EXISTS (SELECT FROM {log} AS g WHERE {keys} AND g.t = {t}) OR "
        "({t} IS NULL AND EXISTS (SELECT FROM {log} AS g WHERE {keys} AND g.t IS NULL)))"
    ).format(log=flow.log, keys=sql.SQL(" AND ").join(keys), t=sql.Identifier(pair, "t"))


def not_in_backlog(flow: Flow, row: str) -> sql.Composed:
    """` AND` that the pair of the table's row `row` does not stand in the backlog."""
    terms: list[sql.Composable] = [
        sql.SQL("EXISTS (SELECT FROM {} AS g WHERE g.op <> 'T' AND {})").format(
            flow.log, flow.pairs.matches("g", row, null_time=null_time)
        )
        for null_time in (False, True)
    ]
    return sql.SQL(" AND NOT {} AND NOT {}").format(*terms)


def look_again(flow: Flow) -> sql.Composed:
    """One slice of the excused pairs behind `%(after)s`; its last place, how many were proved to differ, the
    first of them as JSON."""
    slice_ = sql.Identifier("slice")
    return query("look_again").format(
        columns=flow.pairs.columns(),
        excused=flow.of_ledger("excused"),
        looks=sql.SQL("{} UNION ALL {}").format(
            _both(flow, "look_at_pairs", slice_, null_time=False),
            _both(flow, "look_at_pairs", slice_, null_time=True),
        ),
        logged=_logged(flow, "d"),
        pair=flow.pairs.as_json("d"),
        order=_order(flow, "judged"),
    )


def excused_check(flow: Flow) -> sql.Composed:
    """A boolean expression: every excused pair is equal on both sides now. For use under the cutover's lock,
    once the backlog is drained. It has no parameters and may stand in a DO block; where the table of
    excused pairs is empty, an IF before it saves planning it."""
    excused = flow.of_ledger("excused")
    return sql.SQL("(NOT {} AND NOT {})").format(
        _both(flow, "unequal", excused, null_time=False), _both(flow, "unequal", excused, null_time=True)
    )
