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


def image_hash(flow: Flow, alias: str) -> sql.Composed:
    """The hash of the exact image of the table's row `alias`."""
    return exact_hash(alias, flow.rollout.plan.inspection.columns)


def pair_order(flow: Flow, alias: str) -> sql.Composed:
    """ORDER BY the pair, the time first."""
    names = ["t", *(f.name for f in flow.pairs.fields if not f.is_time)]
    return sql.SQL(", ").join(sql.SQL("{} NULLS FIRST").format(sql.Identifier(alias, name)) for name in names)


def sums(flow: Flow, side: Side, within: Range, dropped: Dropped) -> sql.Composed:
    """The rows of one side, the sum of their image hashes, and the rows in dropped ranges."""
    gone = dropped_condition(flow, dropped, "s")
    # Filters cost a little with each row, so there are none where nothing was dropped.
    return query("sums").format(
        kept=sql.SQL(" FILTER (WHERE NOT {})").format(gone) if dropped else sql.SQL(""),
        dropped=sql.SQL("count(*) FILTER (WHERE {})").format(gone) if dropped else sql.SQL("0::bigint"),
        hash=image_hash(flow, "s"),
        table=side.ident,
        row=sql.Identifier("s"),
        within=row_condition(flow, within, "s"),
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
        s_hash=image_hash(flow, "s"),
        t_hash=image_hash(flow, "t"),
        s_range=row_condition(flow, within, "s"),
        t_range=row_condition(flow, within, "t"),
        l_range=pair_condition(flow, within, "l"),
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
        order=pair_order(flow, "differing"),
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


def not_in_backlog(flow: Flow, row: str) -> sql.Composed:
    """` AND` that the pair of the table's row `row` does not stand in the backlog."""
    terms: list[sql.Composable] = [
        sql.SQL("EXISTS (SELECT FROM {} AS g WHERE g.op <> 'T' AND {})").format(
            flow.log, flow.pairs.matches("g", row, null_time=null_time)
        )
        for null_time in (False, True)
    ]
    return sql.SQL(" AND NOT {} AND NOT {}").format(*terms)
