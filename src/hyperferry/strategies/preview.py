"""Every statement of a plan in order, from the same builders that run them: `plan --sql`."""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from ..capture import function_statements, grant_statements, trigger_statements
from ..capture.triggers import drop_trigger_statements
from ..copy import shadow
from ..cutover import lock_statements, swap_statements
from ..db import LockMode
from ..ledger import objects
from ..ledger.flow import Flow, flow_of
from ..ledger.transaction import lock_statement
from ..model.names import Names
from ..model.plan import Plan, Strategy
from ..model.rollout import Control, Direction, Phase, Rollout
from ..model.statement import Statement, analyze_statement
from . import in_place


def pretend(plan: Plan, number: int) -> Rollout:
    """The rollout as it would be recorded under that number."""
    return Rollout(
        id=number,
        table=plan.table,
        source_oid=plan.inspection.table.oid,
        hypertable_oid=0,
        strategy=plan.strategy,
        phase=Phase.PLANNED,
        control=Control.RUN,
        plan=plan,
        created_at=plan.inspection.taken_at,
        updated_at=plan.inspection.taken_at,
    )


def preview(plan: Plan, number: int = 1) -> tuple[Statement, ...]:
    """All statements of the plan, in order; `number` is the rollout's, which names its schemas and logs."""
    if plan.strategy is Strategy.IN_PLACE:
        return tuple(in_place.statements(plan))
    rollout, names = pretend(plan, number), Names(number, plan.table)
    forward, reverse = flow_of(rollout, Direction.FORWARD), flow_of(rollout, Direction.REVERSE)
    return (
        *shadow.shadow_statements(plan, names),
        *shadow.key_statements(plan, names),
        *shadow.compression_statements(plan, names),
        Statement(
            "schema",
            "where the plain table goes at the cutover",
            sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(names.old_schema)),
        ),
        *objects.create_statements(forward),
        *function_statements(forward, awake=True),
        Statement(
            "capture",
            "waits for every writer that began before; at most a moment, else it gives way and tries again",
            lock_statement(forward.active, LockMode.SHARE_ROW_EXCLUSIVE),
        ),
        *trigger_statements(forward, forward.active),
        _batch(forward),
        *shadow.index_statements(plan, names),
        Statement(
            "analyze",
            "statistics, once",
            analyze_statement(forward.passive.ident, plan.inspection.server.version_num),
        ),
        *function_statements(reverse, awake=False),
        *grant_statements(reverse),
        *trigger_statements(reverse, forward.passive),
        *_titled(lock_statements(forward), "cutover"),
        *_titled(swap_statements(forward), "cutover"),
        *_titled(drop_trigger_statements(reverse, reverse.active), "finish"),
        Statement(
            "finish", "the plain table is dropped", sql.SQL("DROP TABLE {}").format(reverse.passive.ident)
        ),
    )


def _titled(statements: tuple[Statement, ...], step: str) -> tuple[Statement, ...]:
    return tuple(replace(statement, step=f"{step}: {statement.step}") for statement in statements)


def _batch(flow: Flow) -> Statement:
    plan = flow.rollout.plan
    columns = sql.SQL(", ").join(sql.Identifier(c.name) for c in plan.inspection.writable_columns)
    by = {"time": plan.time_column, "key": "the key", "whole": "nothing (one batch)"}[plan.batch_by.value]
    return Statement(
        "copy",
        f"for each batch of about {plan.batch_rows} rows, by {by}, {plan.workers} side by side (the range is filled in)",
        sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} AS s WHERE true").format(
            flow.passive.ident, columns, columns, flow.active.ident
        ),
    )
