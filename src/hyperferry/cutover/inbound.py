"""Foreign keys that point at the table, and publications that name it.

A foreign key leaves the outgoing table by its own table's ALTER, and points at the incoming one where that can keep it: NOT
VALID, so that new rows are checked from then on and the others afterwards. What a hypertable cannot keep and the user gave up
by name is dropped in the cutover, and put back in the rollback's own transaction.
"""

from __future__ import annotations

from psycopg import sql

from ..ledger.flow import Flow
from ..model.given_up import kept
from ..model.inspection import InboundKey, Inspection
from ..model.names import TableName
from ..model.rollout import Direction
from ..model.statement import Statement, fragment


def _ident(name: TableName) -> sql.Identifier:
    return sql.Identifier(name.schema, name.name)


def referencing(inspection: Inspection) -> list[TableName]:
    """The tables whose foreign keys point at the table, each once, without the table itself."""
    return sorted({key.table for key in inspection.inbound_keys} - {inspection.table.name})


def drop_inbound(flow: Flow) -> list[Statement]:
    """Takes every foreign key that points at the outgoing table off it."""
    keys = (
        flow.rollout.plan.inspection.inbound_keys if flow.direction is Direction.FORWARD else kept_keys(flow)
    )
    return [
        Statement(
            "foreign keys",
            f"{key.identity} leaves the outgoing table",
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(_ident(key.table), sql.Identifier(key.name)),
        )
        for key in keys
    ]


def kept_keys(flow: Flow) -> tuple[InboundKey, ...]:
    """The foreign keys that the hypertable keeps."""
    plan = flow.rollout.plan
    return kept(plan.inspection, plan.drop_inbound_fks)


def add_inbound(flow: Flow) -> list[Statement]:
    """Points them at the table that has the name now."""
    out: list[Statement] = []
    arriving = (
        flow.rollout.plan.inspection.inbound_keys if flow.direction is Direction.REVERSE else kept_keys(flow)
    )
    for key in arriving:
        table, name = _ident(key.table), sql.Identifier(key.name)
        out.append(
            Statement(
                "foreign keys",
                f"{key.identity} points at the incoming table"
                + (", to be validated afterwards" if key.validated else ""),
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                    table, name, fragment(not_valid(key.definition, key.enforced))
                ),
            )
        )
        if key.comment is not None:
            out.append(
                Statement(
                    "foreign keys",
                    f"the comment on {key.identity}",
                    sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(
                        name, table, sql.Literal(key.comment)
                    ),
                )
            )
    return out


def not_valid(definition: str, enforced: bool) -> str:
    """The definition of a foreign key that checks no row which is there already. One that is not enforced checks none anyway."""
    if not enforced or definition.rstrip().endswith("NOT VALID"):
        return definition
    return f"{definition} NOT VALID"


def leave_publications(flow: Flow) -> list[Statement]:
    """The plain table leaves the publications that name it; the hypertable is in none."""
    if flow.direction is Direction.REVERSE:
        return []
    return [
        Statement(
            "publications",
            f"the table leaves the publication {member.name}",
            sql.SQL("ALTER PUBLICATION {} DROP TABLE ONLY {}").format(
                sql.Identifier(member.name), flow.active.ident
            ),
        )
        for member in flow.rollout.plan.inspection.replication.memberships
    ]


def join_publications(flow: Flow) -> list[Statement]:
    """The plain table that has the name again is published again, with its list of columns and its filter."""
    if flow.direction is Direction.FORWARD:
        return []
    inspection = flow.rollout.plan.inspection
    out: list[Statement] = []
    for member in inspection.replication.memberships:
        parts: list[sql.Composable] = [
            sql.SQL("ALTER PUBLICATION {} ADD TABLE ONLY {}").format(
                sql.Identifier(member.name), _ident(inspection.table.name)
            )
        ]
        if member.columns is not None:
            parts.append(sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Identifier, member.columns))))
        if member.filter is not None:
            parts.append(sql.SQL(" WHERE ({})").format(fragment(member.filter)))
        out.append(
            Statement(
                "publications", f"the publication {member.name} publishes it again", sql.Composed(parts)
            )
        )
    return out
