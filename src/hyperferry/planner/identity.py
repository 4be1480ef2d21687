"""By what a row is found again on either side (design: Words, "pair"), and by what the source is cut into
batches."""

from __future__ import annotations

from ..model.definitions import key_elements
from ..model.inspection import Index, Inspection
from ..model.plan import BatchBy, Identity, PairColumn

# Cheap to store in a change log and to compare; everything else costs more. Bytes, as pg_type.typlen has
# them.
_WIDTHS = {
    "pg_catalog.bool": 1,
    "pg_catalog.int2": 2,
    "pg_catalog.int4": 4,
    "pg_catalog.date": 4,
    "pg_catalog.oid": 4,
    "pg_catalog.int8": 8,
    "pg_catalog.timestamp": 8,
    "pg_catalog.timestamptz": 8,
    "pg_catalog.uuid": 16,
}
_VARIABLE_WIDTH = 32
_BUILT_IN = "OPERATOR(pg_catalog."


def _truly_not_null(inspection: Inspection, name: str) -> bool:
    """Declared NOT NULL, and not by a constraint that is NOT VALID (PostgreSQL 18)."""
    column = inspection.column(name)
    if column is None or not column.not_null:
        return False
    return all(
        constraint.validated
        for constraint in inspection.constraints
        if constraint.kind == "n" and name in constraint.columns
    )


def _serves(inspection: Inspection, index: Index) -> bool:
    """A valid unique index over plain columns, all NOT NULL and stored, that covers every row."""
    return (
        index.unique
        and index.valid
        and not index.exclusion
        and index.predicate is None
        and all(
            key.column is not None and key.equals is not None and _truly_not_null(inspection, key.column)
            for key in index.columns
        )
        and all(
            (column := inspection.column(key.column or "")) is not None and column.generated != "v"
            for key in index.columns
        )
    )


def _cost(inspection: Inspection, index: Index) -> tuple[bool, bool, bool, int, int, str]:
    """Cheapest first: the primary key, then immediate keys, keys in their columns' own collations, fewest
    columns, fewest bytes."""
    columns = [inspection.column(key.column or "") for key in index.columns]
    width = sum(_WIDTHS.get(column.base_type, _VARIABLE_WIDTH) for column in columns if column is not None)
    collated = any(" COLLATE " in element for element in key_elements(index.tail))
    return (not index.primary, not index.immediate, collated, len(columns), width, index.name)


def find_identity(inspection: Inspection) -> Identity:
    """The primary key, else the cheapest unique key whose columns are all NOT NULL, else the row's image.

    A deferrable key serves too: rows are matched at committed snapshots, where it holds.
    """
    candidates = [index for index in inspection.indexes if _serves(inspection, index)]
    if not candidates:
        return Identity(columns=(), index=None)
    best = min(candidates, key=lambda index: _cost(inspection, index))
    columns: list[PairColumn] = []
    for key in best.columns:
        column = inspection.column(key.column or "")
        if column is not None and key.equals is not None:
            columns.append(
                PairColumn(
                    name=column.name,
                    type_sql=column.type_sql,
                    equals=key.equals,
                    less=key.less,
                    collation=column.collation,
                )
            )
    return Identity(columns=tuple(columns), index=best.name)


def has_time_index(inspection: Inspection) -> bool:
    """True when a valid btree index over every row has the time column first."""
    return any(
        index.valid
        and index.method == "btree"
        and index.predicate is None
        and bool(index.columns)
        and index.columns[0].column == inspection.time_column
        for index in inspection.indexes
    )


def find_batch_by(inspection: Inspection, identity: Identity) -> BatchBy:
    """Ranges of the time where an index serves them, else of the identity where its order is built in, else
    the whole."""
    if has_time_index(inspection):
        return BatchBy.TIME
    if identity.columns and all((column.less or "").startswith(_BUILT_IN) for column in identity.columns):
        return BatchBy.KEY
    return BatchBy.WHOLE
