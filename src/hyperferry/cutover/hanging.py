"""What hangs on a table, as statements that take it from the outgoing table and put it on the incoming one.

All of it is known from the plan's inspection; that nothing changed since is what the fingerprint under the lock proves.
"""

from __future__ import annotations

from psycopg import sql

from ..model.inspection import Constraint, Inspection, OwnedSequence, Trigger
from ..model.names import TableName
from ..model.statement import Statement, fragment
from .inbound import not_valid

IDENTITY_MARGIN = 1_000
"""So many numbers of an identity are left out at a swap, times its cache."""


def ident(name: TableName) -> sql.Identifier:
    """The qualified name for SQL."""
    return sql.Identifier(name.schema, name.name)


def foreign_keys(inspection: Inspection) -> list[Constraint]:
    """The table's own foreign keys to other tables. One to the table itself is among those that point at it (inbound.py)."""
    return [c for c in inspection.constraints if c.kind == "f" and c.references != inspection.table.name]


def parents(inspection: Inspection) -> list[TableName]:
    """The tables that the foreign keys point at, each once, without the table itself."""
    return sorted({c.references for c in foreign_keys(inspection) if c.references})


def drop_foreign_keys(inspection: Inspection, table: TableName) -> list[Statement]:
    """The outgoing table keeps no foreign keys: an ON DELETE CASCADE there would deadlock the application, a
    NO ACTION fail it."""
    return [
        Statement(
            "foreign keys",
            f"{key.name} leaves the outgoing table",
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(ident(table), sql.Identifier(key.name)),
        )
        for key in foreign_keys(inspection)
    ]


def add_foreign_keys(inspection: Inspection) -> list[Statement]:
    """The incoming table's foreign keys, NOT VALID: every new row is checked from now on, the rows that are there afterwards."""
    out: list[Statement] = []
    table = inspection.table.name
    for key in foreign_keys(inspection):
        text = not_valid(key.definition, key.enforced)
        name = sql.Identifier(key.name)
        out.append(
            Statement(
                "foreign keys",
                f"{key.name} on the incoming table, to be validated afterwards",
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(ident(table), name, fragment(text)),
            )
        )
        if key.comment is not None:
            out.append(
                Statement(
                    "foreign keys",
                    f"the comment on {key.name}",
                    sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(
                        name, ident(table), sql.Literal(key.comment)
                    ),
                )
            )
    return out


def drop_triggers(inspection: Inspection, table: TableName) -> list[Statement]:
    """The outgoing table has no user triggers while it is carried along: they have fired already."""
    return [
        Statement(
            "triggers",
            f"{trigger.name} leaves the outgoing table",
            sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(trigger.name), ident(table)),
        )
        for trigger in inspection.triggers
    ]


def create_triggers(inspection: Inspection) -> list[Statement]:
    """The user triggers, on whatever has the table's name now."""
    out: list[Statement] = []
    for trigger in inspection.triggers:
        out.append(
            Statement(
                "triggers",
                f"{trigger.name} on the incoming table",
                sql.SQL("{}").format(fragment(trigger.definition)),
            )
        )
        if trigger.comment is not None:
            out.append(
                Statement(
                    "triggers",
                    f"the comment on {trigger.name}",
                    sql.SQL("COMMENT ON TRIGGER {} ON {} IS {}").format(
                        sql.Identifier(trigger.name),
                        ident(inspection.table.name),
                        sql.Literal(trigger.comment),
                    ),
                )
            )
    return out


def row_triggers(inspection: Inspection) -> list[Trigger]:
    """Those of the user triggers that TimescaleDB puts on every chunk."""
    return [trigger for trigger in inspection.triggers if trigger.row_level]


def serials(inspection: Inspection) -> list[OwnedSequence]:
    """Sequences of serial columns: one sequence that goes from table to table."""
    return [s for s in inspection.sequences if not s.identity]


def identities(inspection: Inspection) -> list[OwnedSequence]:
    """Sequences of identity columns: each table has its own."""
    return [s for s in inspection.sequences if s.identity]


def release_serials(inspection: Inspection) -> list[Statement]:
    """SET SCHEMA takes an owned sequence along, so it is owned by nobody for a moment."""
    return [
        Statement(
            "sequences",
            f"{s.name} stays where it is",
            sql.SQL("ALTER SEQUENCE {} OWNED BY NONE").format(ident(s.name)),
        )
        for s in serials(inspection)
    ]


def attach_serials(inspection: Inspection) -> list[Statement]:
    """The sequence belongs to the incoming table: dropping the other one later does not take it along."""
    table = inspection.table.name
    return [
        Statement(
            "sequences",
            f"{s.name} belongs to the incoming table",
            sql.SQL("ALTER SEQUENCE {} OWNED BY {}").format(
                ident(s.name), sql.Identifier(table.schema, table.name, s.column)
            ),
        )
        for s in serials(inspection)
    ]


def hand_over_identities(inspection: Inspection, parked: str) -> list[Statement]:
    """The incoming table's identity sequences go on where the outgoing ones (in schema `parked` by now) stand, and a bit
    further: a session whose nextval of its own waited for the swap still draws from the outgoing one, by its OID, and what it
    draws must not be drawn again. No further where the sequence is too near its end for that."""
    return [
        Statement(
            "sequences",
            f"the identity of {s.column} goes on where it stands",
            sql.SQL(
                "SELECT pg_catalog.setval({}::pg_catalog.regclass, CASE WHEN {} THEN o.last_value + {} ELSE o.last_value END, "
                "o.is_called) FROM {} AS o"
            ).format(
                sql.Literal(TableName(inspection.table.name.schema, s.name.name).quoted),
                _room(s),
                sql.Literal(_margin(s)),
                sql.Identifier(parked, s.name.name),
            ),
        )
        for s in identities(inspection)
    ]


def _margin(sequence: OwnedSequence) -> int:
    """What sessions may still draw: each takes as many at a time as the sequence's cache has."""
    return IDENTITY_MARGIN * sequence.increment * max(1, sequence.cache)


def _room(sequence: OwnedSequence) -> sql.Composed:
    """That the margin is a small part of what is left of the sequence."""
    needed = 100 * _margin(sequence)
    if sequence.increment > 0:
        return sql.SQL("o.last_value <= {}").format(sql.Literal(sequence.maximum - needed))
    return sql.SQL("o.last_value >= {}").format(sql.Literal(sequence.minimum - needed))


def swap_statistics(inspection: Inspection, outgoing_to: str, incoming_from: str) -> list[Statement]:
    """Extended statistics do not follow SET SCHEMA."""
    out: list[Statement] = []
    for statistics in inspection.extended_statistics:
        home, name = statistics.name.schema, statistics.name.name
        for start, end in ((home, outgoing_to), (incoming_from, home)):
            out.append(
                Statement(
                    "statistics",
                    f"extended statistics {name} follow their table",
                    sql.SQL("ALTER STATISTICS {} SET SCHEMA {}").format(
                        sql.Identifier(start, name), sql.Identifier(end)
                    ),
                )
            )
    return out
