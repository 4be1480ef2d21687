"""Keys and indexes of the shadow: keys without the time column are widened, everything else is carried over.

A hypertable refuses every UNIQUE, PRIMARY KEY or EXCLUDE without the partition column (TimescaleDB:
indexing.c), so the time is appended as the last key column. The name, and everything else about the key,
stays.
"""

from __future__ import annotations

from ..errors import Refused
from ..model.definitions import (
    append_key_column,
    has_word,
    insert_clause,
    key_elements,
    storage_clause,
)
from ..model.inspection import Constraint, Index, Inspection
from ..model.names import quote_ident
from ..model.plan import PlannedIndex, PlannedKey

INDEX_MAX_KEYS = 32  # PostgreSQL: pg_config_manual.h; included columns count
_KEY_KINDS = ("p", "u", "x")


def _holds_time(index: Index, time_column: str) -> bool:
    return any(key.column == time_column for key in index.columns)


def _key_columns(index: Index) -> tuple[str, ...]:
    """Names of plain columns, text of expressions."""
    return tuple(key.column if key.column is not None else key.expression for key in index.columns)


def _widen(definition: str, index: Index, time_column: str) -> str:
    if len(index.columns) + len(index.included) >= INDEX_MAX_KEYS:
        raise Refused(
            f"The key {quote_ident(index.name)} cannot be widened by the time column: it is as wide as "
            "PostgreSQL allows.",
            facts={
                "columns": len(index.columns),
                "included columns": len(index.included),
                "limit": INDEX_MAX_KEYS,
            },
            remedy=f"drop a column of it, or make {quote_ident(time_column)} part of it, before the plan.",
        )
    return append_key_column(definition, quote_ident(time_column))


def _check_exclusion(constraint: Constraint, index: Index, time_column: str) -> None:
    """An exclusion constraint is carried over only where it holds the time with `=`; widening it would empty
    its meaning."""
    for key, element in zip(index.columns, key_elements(constraint.definition), strict=True):
        operator = element.rpartition(" WITH ")[2]
        if key.column == time_column and operator in ("=", "OPERATOR(pg_catalog.=)"):
            return
    raise Refused(
        f"The exclusion constraint {quote_ident(constraint.name)} does not contain "
        f"{quote_ident(time_column)} WITH =, "
        "and a hypertable can only keep exclusions within one chunk.",
        facts={"constraint": constraint.definition, "time column": time_column},
        remedy=f"drop the constraint, or add {quote_ident(time_column)} WITH = to it, before the plan.",
    )


def _constraint_key(inspection: Inspection, constraint: Constraint, index: Index) -> PlannedKey:
    time_column = inspection.time_column
    definition = constraint.definition
    if has_word(definition, "EXCLUDE"):
        _check_exclusion(constraint, index, time_column)
    elif any("WITHOUT OVERLAPS" in element for element in key_elements(definition)) and index.exclusion:
        raise Refused(
            f"The key {quote_ident(constraint.name)} is a temporal key (WITHOUT OVERLAPS), which a "
            "hypertable cannot keep.",
            facts={"constraint": definition},
            remedy="drop it, or replace it by an ordinary unique key, before the plan.",
        )
    # pg_get_constraintdef leaves out the storage parameters of a key; the index has them.
    if not has_word(definition, "WITH"):
        definition = insert_clause(definition, storage_clause(index.tail))
    widened = not _holds_time(index, time_column)
    if widened:
        definition = _widen(definition, index, time_column)
    return PlannedKey(
        name=constraint.name,
        constraint=True,
        definition=definition,
        widened=widened,
        columns=_key_columns(index) + ((time_column,) if widened else ()),
        tablespace=index.tablespace,
        comment=constraint.comment,
    )


def _index_key(inspection: Inspection, index: Index) -> PlannedKey:
    widened = not _holds_time(index, inspection.time_column)
    return PlannedKey(
        name=index.name,
        constraint=False,
        definition=_widen(index.tail, index, inspection.time_column) if widened else index.tail,
        widened=widened,
        columns=_key_columns(index) + ((inspection.time_column,) if widened else ()),
        tablespace=index.tablespace,
        comment=index.comment,
    )


def plan_keys(inspection: Inspection) -> tuple[PlannedKey, ...]:
    """The primary key first, then unique and exclusion constraints, then plain unique indexes, by name.

    Invalid indexes enforce nothing reliable and are left out. Raises Refused for what a hypertable cannot
    keep.
    """
    indexes = {index.name: index for index in inspection.indexes}
    keys: list[PlannedKey] = []
    for constraint in sorted(inspection.constraints, key=lambda c: (_order(c.kind), c.name)):
        if constraint.kind in _KEY_KINDS:
            index = indexes.get(constraint.index or constraint.name)
            if index is None:
                raise Refused(
                    f"The index of the constraint {quote_ident(constraint.name)} was not found.",
                    facts={"constraint": constraint.definition},
                    remedy="inspect the table again; the schema may have changed in between.",
                )
            keys.append(_constraint_key(inspection, constraint, index))
    for index in sorted(inspection.indexes, key=lambda i: i.name):
        if index.unique and index.valid and index.constraint is None:
            keys.append(_index_key(inspection, index))
    return tuple(keys)


def _order(kind: str) -> int:
    return _KEY_KINDS.index(kind) if kind in _KEY_KINDS else len(_KEY_KINDS)


def plan_indexes(inspection: Inspection) -> tuple[PlannedIndex, ...]:
    """Every valid index that is no key, with its own definition, by name."""
    return tuple(
        PlannedIndex(
            name=index.name,
            tail=index.tail,
            tablespace=index.tablespace,
            comment=index.comment,
            statistics=index.statistics,
        )
        for index in sorted(inspection.indexes, key=lambda i: i.name)
        if index.valid and not index.unique and index.constraint is None
    )


def key_notes(inspection: Inspection) -> tuple[str, ...]:
    """What is left out of keys and indexes, a line each."""
    return tuple(
        f"the index {quote_ident(index.name)} is invalid (an unfinished CREATE INDEX CONCURRENTLY?) and is "
        "not carried over"
        for index in inspection.indexes
        if not index.valid
    )
