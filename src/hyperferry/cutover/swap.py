"""The swap's statements in their order: who is locked, and what is changed."""

from __future__ import annotations

from typing import LiteralString

from psycopg import sql

from ..capture import sleep_statements, wake_statements
from ..db import LockMode
from ..ledger.flow import Flow, flow_of
from ..ledger.transaction import lock_statement
from ..model.inspection import Inspection
from ..model.names import TableName
from ..model.rollout import Direction, Phase
from ..model.statement import Statement
from . import bound, hanging, inbound
from .order import Lock, Wanted, order, statements


def opposite(direction: Direction) -> Direction:
    """The other direction."""
    return Direction.REVERSE if direction is Direction.FORWARD else Direction.FORWARD


def target_phase(flow: Flow) -> Phase:
    """The phase after swapping this flow's sides."""
    return Phase.CUT_OVER if flow.direction is Direction.FORWARD else Phase.ROLLED_BACK


def wanted_locks(flow: Flow) -> Wanted:
    """Everything that the swap changes. Where there is no LOCK for a thing, to state its owner once more changes nothing, and
    locks it alone."""
    inspection = flow.rollout.plan.inspection
    return Wanted(
        views=tuple(
            _restated(
                "VIEW",
                view,
                owner,
                f"{view} alone: its own owner once more changes nothing, and locks no other table",
            )
            for view, owner in bound.locked_views(inspection).items()
        ),
        serials=tuple(
            _restated(
                "SEQUENCE",
                serial.name,
                inspection.table.owner,
                f"{serial.name}: its own owner once more, for want of a LOCK for sequences",
            )
            for serial in hanging.serials(inspection)
        ),
        table=Lock(
            "the table of record",
            lock_statement(flow.active, LockMode.ACCESS_EXCLUSIVE),
            lock_statement(flow.active, LockMode.ACCESS_EXCLUSIVE, nowait=True),
        ),
        parents=tuple(_other(table) for table in others(inspection)),
        other=Lock(
            "the other one",
            lock_statement(flow.passive, LockMode.ACCESS_EXCLUSIVE, nowait=True),
            lock_statement(flow.passive, LockMode.ACCESS_EXCLUSIVE, nowait=True),
        ),
    )


def lock_statements(flow: Flow, attempt: int = 1) -> tuple[Statement, ...]:
    """The locks of an attempt in their order, for people to read."""
    return statements(order(wanted_locks(flow), attempt))


def others(inspection: Inspection) -> list[TableName]:
    """Other tables that change with the table: those that its foreign keys point at, those whose foreign keys point at it,
    those whose rules or policies read it."""
    return sorted(
        {
            *hanging.parents(inspection),
            *inbound.referencing(inspection),
            *bound.locked_tables(inspection),
        }
    )


def on_every_chunk(flow: Flow) -> bool:
    """Whether the swap puts something on every chunk of the hypertable, or takes it off there: it locks them all then."""
    inspection = flow.rollout.plan.inspection
    return bool(
        hanging.foreign_keys(inspection) or hanging.row_triggers(inspection) or inbound.kept_keys(flow)
    )


def _restated(kind: LiteralString, name: TableName, owner: str, comment: str) -> Lock:
    statement = sql.SQL("ALTER {} {} OWNER TO {}").format(
        sql.SQL(kind),
        hanging.ident(name),
        sql.Identifier(owner),
    )
    return Lock(comment, statement, statement)


def _other(table: TableName) -> Lock:
    mode = sql.SQL("{} IN ACCESS EXCLUSIVE MODE").format(hanging.ident(table))
    return Lock(
        f"{table}: its side of the foreign keys, or what of it reads the table, changes",
        sql.SQL("LOCK TABLE ONLY {}").format(mode),
        sql.SQL("LOCK TABLE {} NOWAIT").format(mode),
        partitioned=True,
    )


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
        *inbound.drop_inbound(flow),
        *inbound.leave_publications(flow),
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
        *bound.bind_statements(inspection),
        *hanging.add_foreign_keys(inspection),
        *inbound.add_inbound(flow),
        *inbound.join_publications(flow),
        *hanging.create_triggers(inspection),
        *wake_statements(after),
    )
