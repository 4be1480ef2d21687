"""The shadow's columns: types, defaults, generated and identity columns, and what is set on a column
afterwards."""

from __future__ import annotations

from psycopg import sql

from ..model.inspection import Column, Constraint, Inspection, OwnedSequence
from ..model.names import Names, TableName
from ..model.statement import Statement, fragment


def column_definition(inspection: Inspection, column: Column, names: Names) -> sql.Composed:
    """A column as it stands in CREATE TABLE.

    A serial's default stays nextval of the source's own sequence, which the shadow does not own; an identity
    column gets a sequence of the same name and options in the shadow's schema.
    """
    parts: list[sql.Composable] = [sql.Identifier(column.name), sql.SQL(" "), fragment(column.type_sql)]
    if column.compression:
        parts.append(sql.SQL(" COMPRESSION {}").format(sql.Identifier(column.compression)))
    if column.collation:
        parts.append(fragment(f" COLLATE {column.collation}"))
    if column.not_null and not _is_late(inspection, column):
        parts.append(_not_null(inspection, column))
    if column.identity:
        parts.append(_identity(inspection, column, names))
    elif column.generated:
        kind = "STORED" if column.generated == "s" else "VIRTUAL"
        parts.append(fragment(f" GENERATED ALWAYS AS ({column.default}) {kind}"))
    elif column.default is not None:
        parts.append(fragment(f" DEFAULT {column.default}"))
    return sql.Composed(parts)


def _not_null_constraint(inspection: Inspection, column: Column) -> Constraint | None:
    """Its named NOT NULL constraint (PostgreSQL 18 and newer)."""
    return next(
        (c for c in inspection.constraints if c.kind == "n" and c.columns == (column.name,)),
        None,
    )


def _is_late(inspection: Inspection, column: Column) -> bool:
    """True for a NOT NULL that is NOT VALID. The time column's becomes valid: a hypertable needs it."""
    constraint = _not_null_constraint(inspection, column)
    return constraint is not None and not constraint.validated and column.name != inspection.time_column


def _not_null(inspection: Inspection, column: Column) -> sql.Composed:
    constraint = _not_null_constraint(inspection, column)
    if constraint is None:
        return sql.Composed([sql.SQL(" NOT NULL")])
    return sql.SQL(" CONSTRAINT {} NOT NULL").format(sql.Identifier(constraint.name))


def late_not_nulls(inspection: Inspection, table: TableName) -> list[Statement]:
    """NOT NULL constraints that are NOT VALID in the source and stay so."""
    statements: list[Statement] = []
    for column in inspection.columns:
        constraint = _not_null_constraint(inspection, column)
        if constraint is not None and _is_late(inspection, column):
            statements.append(
                Statement(
                    "check",
                    f"{column.name} is NOT NULL, but NOT VALID, as it was",
                    sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                        sql.Identifier(table.schema, table.name),
                        sql.Identifier(constraint.name),
                        fragment(constraint.definition),
                    ),
                )
            )
    return statements


def _identity(inspection: Inspection, column: Column, names: Names) -> sql.Composed:
    kind = sql.SQL("ALWAYS" if column.identity == "a" else "BY DEFAULT")
    sequence = identity_sequence(inspection, column)
    if sequence is None:
        return sql.SQL(" GENERATED {} AS IDENTITY").format(kind)
    # SEQUENCE NAME is the form in which pg_dump writes an identity's sequence.
    return sql.SQL(
        " GENERATED {} AS IDENTITY (SEQUENCE NAME {} START WITH {} INCREMENT BY {} MINVALUE {} MAXVALUE {} "
        "CACHE {} {})"
    ).format(
        kind,
        sql.Identifier(names.new_schema, sequence.name.name),
        sql.Literal(sequence.start),
        sql.Literal(sequence.increment),
        sql.Literal(sequence.minimum),
        sql.Literal(sequence.maximum),
        sql.Literal(sequence.cache),
        sql.SQL("CYCLE" if sequence.cycle else "NO CYCLE"),
    )


def identity_sequence(inspection: Inspection, column: Column) -> OwnedSequence | None:
    """The sequence of an identity column."""
    return next((s for s in inspection.sequences if s.identity and s.column == column.name), None)


def column_settings(inspection: Inspection, table: TableName) -> list[Statement]:
    """Storage, statistics targets and options of columns. Set before the table becomes a hypertable: chunks
    inherit them."""
    statements: list[Statement] = []
    for column in inspection.columns:
        changes: list[sql.Composable] = []
        if column.storage:
            changes.append(fragment(f"SET STORAGE {column.storage}"))
        if column.statistics_target is not None:
            changes.append(sql.SQL("SET STATISTICS {}").format(sql.Literal(column.statistics_target)))
        if column.options:
            options = sql.SQL(", ").join(
                sql.SQL("{}={}").format(sql.Identifier(name), sql.Literal(value))
                for name, _, value in (option.partition("=") for option in column.options)
            )
            changes.append(sql.SQL("SET ({})").format(options))
        if changes:
            alter = sql.SQL("ALTER COLUMN {} ").format(sql.Identifier(column.name))
            statements.append(
                Statement(
                    "column",
                    f"storage and statistics of {column.name}",
                    sql.SQL("ALTER TABLE {} {}").format(
                        sql.Identifier(table.schema, table.name),
                        sql.SQL(", ").join(sql.Composed([alter, change]) for change in changes),
                    ),
                )
            )
    return statements
