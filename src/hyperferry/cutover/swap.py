"""The swap's statements in their order: who is locked, and what is changed."""

from __future__ import annotations

from psycopg import sql

from ..capture import sleep_statements, wake_statements
from ..db import LockMode
from ..ledger.flow import Flow, flow_of
from ..ledger.transaction import lock_statement
from ..model.rollout import Direction, Phase
from ..model.statement import Statement
from . import hanging

STEP = "locks"


def opposite(direction: Direction) -> Direction:
    """The other direction."""
    return Direction.REVERSE if direction is Direction.FORWARD else Direction.FORWARD


def target_phase(flow: Flow) -> Phase:
    """The phase after swapping this flow's sides."""
    return Phase.CUT_OVER if flow.direction is Direction.FORWARD else Phase.ROLLED_BACK


def lock_statements(flow: Flow) -> tuple[Statement, ...]:
    """Everything that the swap changes, at full strength at once, in the order in which readers lock: views,
    outermost first, then
    the tables. The first may wait; the further ones are asked for with NOWAIT, and the views, for which there is no NOWAIT
    that spares their other tables, with the shortest wait there is."""
    inspection = flow.rollout.plan.inspection
    out: list[Statement] = []
    for view in hanging.views(inspection):
        out.append(
            Statement(
                STEP,
                f"{view.name} alone: its own owner once more changes nothing, and locks no other table",
                sql.SQL("ALTER VIEW {} OWNER TO {}").format(
                    hanging.ident(view.name), sql.Identifier(view.owner)
                ),
            )
        )
    out.append(
        Statement(
            STEP,
            "the table of record",
            lock_statement(flow.active, LockMode.ACCESS_EXCLUSIVE, nowait=bool(out)),
        )
    )
    out.append(
        Statement(STEP, "the other one", lock_statement(flow.passive, LockMode.ACCESS_EXCLUSIVE, nowait=True))
    )
    for parent in hanging.parents(inspection):
        out.append(
            Statement(
                STEP,
                f"{parent}: its side of the foreign keys changes",
                sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT").format(hanging.ident(parent)),
            )
        )
    return tuple(out)


def swap_statements(flow: Flow) -> tuple[Statement, ...]:
    """Everything that changes between the drain and the commit."""
    plan = flow.rollout.plan
    inspection, names = plan.inspection, flow.rollout.names
    outgoing, incoming = flow.active.name, flow.passive.name
    parked = names.old_schema if flow.direction is Direction.FORWARD else names.new_schema
    home = outgoing.schema
    after = flow_of(flow.rollout, opposite(flow.direction))
    return (
        *sleep_statements(flow),
        *hanging.drop_foreign_keys(inspection, outgoing),
        *hanging.drop_triggers(inspection, outgoing),
        *hanging.release_serials(inspection),
        Statement(
            "swap",
            "the outgoing table keeps its name in a schema of its own; four locks, whatever the number of chunks",
            sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(hanging.ident(outgoing), sql.Identifier(parked)),
        ),
        Statement(
            "swap",
            "the incoming table has the name that the application knows",
            sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(hanging.ident(incoming), sql.Identifier(home)),
        ),
        *hanging.swap_statistics(inspection, parked, incoming.schema),
        *hanging.hand_over_identities(inspection, parked),
        *hanging.attach_serials(inspection),
        *hanging.view_statements(inspection),
        *hanging.add_foreign_keys(inspection),
        *hanging.create_triggers(inspection),
        *wake_statements(after),
    )
