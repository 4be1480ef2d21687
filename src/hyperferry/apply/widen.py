"""Widening a slice: two rows that swap a unique value may lie in two slices (spirit#847).

Where an insert meets a unique violation, the slice takes in the pairs of the target rows that are in the way, until none is.
At one snapshot the source itself has no violation, so a closed slice goes in as a whole.
"""

from __future__ import annotations

from psycopg import sql

from ..db import execute
from ..db.connection import Connection
from ..ledger.flow import Flow
from ..ledger.pairs import as_compared
from ..model.inspection import Index, IndexColumn
from ..model.plan import Plan
from ..model.statement import fragment
from .slices import IDS
from .window import Ids

MAX_ROUNDS = 50


def _alias(number: int) -> sql.Identifier:
    """A name that no column of the user's has."""
    return sql.Identifier(f"hyperferry's value {number}")


def _expressions(plan: Plan, columns: tuple[IndexColumn, ...]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("({}) AS {}").format(_value(plan, column), _alias(n)) for n, column in enumerate(columns, 1)
    )


def _value(plan: Plan, part: IndexColumn) -> sql.Composable:
    column = plan.inspection.column(part.column) if part.column else None
    return fragment(part.expression) if column is None else as_compared(column, sql.Identifier(column.name))


def unique_indexes(plan: Plan) -> list[Index]:
    """The unique indexes of the source. Those of the shadow enforce the same or less (they are widened), so whatever
    is in the way on either side is in the way by one of these."""
    return [index for index in plan.inspection.indexes if index.unique and index.valid]


def _in_the_way(flow: Flow, index: Index, *, add_time: bool) -> sql.Composed | None:
    """Inserts into the log the pairs of target rows that hold a value of `index` which a source row of the slice wants.

    Column names in index expressions and predicates are unqualified, so each side stands in a subselect of its own.
    """
    if any(column.equals is None for column in index.columns):
        return None
    predicate = sql.SQL(" AND ({})").format(fragment(index.predicate)) if index.predicate else sql.SQL("")
    same = "held.{e} {eq} wanted.{e}"
    if index.nulls_not_distinct:
        same = "(held.{e} {eq} wanted.{e} OR (held.{e} IS NULL AND wanted.{e} IS NULL))"
    equal = sql.SQL(" AND ").join(
        sql.SQL(same).format(e=_alias(n), eq=fragment(column.equals or ""))
        for n, column in enumerate(index.columns, 1)
    )
    if add_time:
        time = sql.Identifier(flow.rollout.plan.time_column)
        equal = sql.SQL("{} AND held.{} OPERATOR(pg_catalog.=) wanted.{}").format(equal, time, time)
    plan = flow.rollout.plan
    every = sql.SQL(", ").join(sql.Identifier(column.name) for column in plan.inspection.columns)
    wanted = sql.SQL(
        "(SELECT {every}, {expressions} FROM (SELECT s.* FROM {source} AS s JOIN "
        "(SELECT DISTINCT {pair} FROM {log} l WHERE l.id = ANY({ids})) AS p ON {match}) AS x WHERE true{predicate}) AS wanted"
    ).format(
        every=every,
        expressions=_expressions(plan, index.columns),
        source=flow.active.ident,
        ids=IDS,
        pair=flow.pairs.columns("l"),
        log=flow.log,
        match=flow.pairs.matches("p", "s"),
        predicate=predicate,
    )
    held = sql.SQL("(SELECT {every}, {expressions} FROM {target} AS x WHERE true{predicate}) AS held").format(
        every=every, expressions=_expressions(plan, index.columns), target=flow.passive.ident, predicate=predicate
    )
    return sql.SQL(
        "INSERT INTO {log} (op, {pair}) SELECT DISTINCT 'W'::\"char\", {plain} FROM "
        "(SELECT {of_row} FROM {held} JOIN {wanted} ON {equal}) AS found "
        "WHERE NOT EXISTS (SELECT FROM {log} AS l WHERE l.id = ANY({ids}) AND {same}) RETURNING id"
    ).format(
        log=flow.log,
        ids=IDS,
        pair=flow.pairs.columns(),
        plain=flow.pairs.columns("found"),
        of_row=flow.pairs.of_row("held"),
        held=held,
        wanted=wanted,
        equal=equal,
        same=flow.pairs.same("l", "found"),
    )


def widen(conn: Connection, flow: Flow, ids: Ids) -> Ids:
    """The slice's ids, widened until no target row outside it is in its way. Within the slice's own transaction."""
    plan = flow.rollout.plan
    for _ in range(MAX_ROUNDS):
        found: list[int] = []
        for index in unique_indexes(plan):
            has_time = any(column.column == plan.time_column for column in index.columns)
            # The hypertable's keys are widened by the time, the plain table's are not.
            statement = _in_the_way(flow, index, add_time=flow.passive.hypertable and not has_time)
            if statement is not None:
                found += [row[0] for row in execute(conn, statement, {"ids": ids.text}).fetchall()]
        if not found:
            break
        ids = Ids.of([*ids.texts, *found])
    return ids
