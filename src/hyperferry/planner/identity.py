"""By what a row is found again on either side (design: Words, "pair"), and by what the source is cut into
batches."""

from __future__ import annotations

from ..model.definitions import key_elements
from ..model.inspection import Index, Inspection
from ..model.plan import BatchBy, Identity, PairColumn
from ..model.plan_options import DEFAULT_WORKERS

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
READ_AGAIN_BYTES = 1000
"""So many bytes read again for each row, from a disk that gives 150 to 600 MB a second, take as long as what a row costs more
that lands in another chunk than the one before (2 to 5 µs: bench/notes.md)."""
MOST_CHUNKS = 500
"""Rows in the order of the key land in so many chunks by turns. More than 1,024 an INSERT does not keep open (TimescaleDB's
max_open_chunks_per_insert), and each costs memory."""
_LESS = "OPERATOR(pg_catalog.<)"


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


def find_batch_by(
    inspection: Inspection, identity: Identity, *, workers: int = DEFAULT_WORKERS, compressed: bool = False
) -> BatchBy:
    """Ranges of the time where an index serves them, else of the identity where its index does, else the whole.

    Ranges of the identity, too, where the rows of a large table lie scattered by their time and in the order of the identity: by
    ranges of the time each page would be read again and again. Not where chunks are to be `compressed` while others are copied,
    as they fill up one after the other by the time alone; nor where each of the `workers` would hold too many chunks at a time.
    """
    ordered = bool(identity.columns) and _in_order(inspection, identity)
    if inspection.has_time_index and not (
        ordered and not compressed and _scattered(inspection, identity) and _few_chunks(inspection, workers)
    ):
        return BatchBy.TIME
    return BatchBy.KEY if ordered else BatchBy.WHOLE


def _in_order(inspection: Inspection, identity: Identity) -> bool:
    """Whether the identity's index gives its columns in the order of `<` and of `ORDER BY`, or backwards."""
    elements = [each for i in inspection.indexes if i.name == identity.index for each in key_elements(i.tail)]
    plain = not any(" COLLATE " in each or each.endswith((" NULLS FIRST", " NULLS LAST")) for each in elements)
    return (
        plain
        and len({each.endswith(" DESC") for each in elements}) == 1
        and all(column.less == _LESS for column in identity.columns)
    )


def _scattered(inspection: Inspection, identity: Identity) -> bool:
    scan = inspection.scan
    return (
        scan is not None
        and scan.ranges_on_page is not None
        and scan.ranges_on_page * inspection.table.heap_bytes > READ_AGAIN_BYTES * scan.rows
        and identity.columns[0].name in scan.in_order
    )


def _few_chunks(inspection: Inspection, workers: int) -> bool:
    """A batch of scattered rows locks every chunk with its keys, a range that is compared every chunk with all indexes."""
    scan, server = inspection.scan, inspection.server
    pool = server.max_locks_per_transaction * (server.max_connections + server.max_prepared_transactions)
    chunks = scan.buckets if scan is not None else 0
    return chunks <= MOST_CHUNKS and 2 * chunks * (1 + len(inspection.indexes)) * workers <= pool
