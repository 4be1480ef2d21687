"""The swap's statements in their order: who is locked, and what is changed."""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql

from ..capture import sleep_statements, wake_statements
from ..db import LockMode
from ..ledger.flow import Flow, flow_of
from ..ledger.transaction import lock_statement
from ..model.names import TableName
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


def lock_statements(flow: Flow, attempt: int = 1) -> tuple[Statement, ...]:
    """Everything that the swap changes, at full strength at once. Only the first lock may wait (I0); the further ones are asked
    for with NOWAIT, and the views, for which there is no NOWAIT that spares their other tables, with the shortest wait
    there is.

    Which lock may wait changes from attempt to attempt. Where writers are busy there is never a moment at which the table is
    free, so it has to be queued for: it comes first in every odd attempt. Where readers through a view, or of a
    parent, are busy, the same holds for those: each in its turn comes first in the even ones.
    """
    inspection = flow.rollout.plan.inspection
    views = [
        Statement(
            STEP,
            f"{view.name} alone: its own owner once more changes nothing, and locks no other table",
            sql.SQL("ALTER VIEW {} OWNER TO {}").format(hanging.ident(view.name), sql.Identifier(view.owner)),
        )
        for view in hanging.views(inspection)
    ]
    makers: list[Callable[[bool], Statement]] = [
        lambda waits: Statement(
            STEP,
            "the table of record",
            lock_statement(flow.active, LockMode.ACCESS_EXCLUSIVE, nowait=not waits),
        ),
        *(_always(view) for view in views),
        *(_parent(parent) for parent in hanging.parents(inspection)),
    ]
    if attempt % 2 == 0 and len(makers) > 1:
        makers.insert(0, makers.pop(1 + (attempt // 2 - 1) % (len(makers) - 1)))
    other = Statement(
        STEP, "the other one", lock_statement(flow.passive, LockMode.ACCESS_EXCLUSIVE, nowait=True)
    )
    return (*(make(place == 0) for place, make in enumerate(makers)), other)


def _always(statement: Statement) -> Callable[[bool], Statement]:
    return lambda waits: statement


def _parent(parent: TableName) -> Callable[[bool], Statement]:
    def make(waits: bool) -> Statement:
        return Statement(
            STEP,
            f"{parent}: its side of the foreign keys changes",
            sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE{}").format(
                hanging.ident(parent), sql.SQL("") if waits else sql.SQL(" NOWAIT")
            ),
        )

    return make


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
