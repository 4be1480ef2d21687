"""A row's image as something to hash.

`exact_terms` follow `record_image_eq`: two rows hash alike only when every column is stored alike. `hash_record_extended` alone
calls 1.0 and 1.00, 0 and -0.0, '1 mon' and '30 days' equal, so types whose equality is coarser than their image are hashed in
their binary form (design: Parity means). `coarse_terms` need only be a function of the row that the writer's settings cannot
change: they serve as the identity of rows without a key.

Two traits of PostgreSQL's hash functions, both measured, decide the rest:
- some hash values apart as one: numeric forgets the sign (1.5 and -1.5) and calls NaN what it calls NULL; eight-byte integers and
  times are folded to four bytes (0 and 4294967297). Those go through their binary form as well;
- a record's hash is linear, 31 * h(a) + h(b), so the sum over rows does not change when two rows swap their values of one
  column. The record's hash is therefore hashed once more, before it is summed.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from ..model.inspection import Column

# Hashable by hash_record_extended with an equality that is the same as the image.
_PLAIN = frozenset(
    f"pg_catalog.{name}"
    for name in [
        "bool",
        "int2",
        "int4",
        "oid",
        "text",
        "varchar",
        "name",
        "char",
        "uuid",
        "date",
        "bytea",
        "inet",
        "cidr",
        "macaddr",
        "macaddr8",
    ]
)
# Hashable, but values that differ in their image may be equal, or hash alike; what shows the image exactly.
_SENDERS = {
    "pg_catalog.numeric": "numeric_send",
    "pg_catalog.int8": "int8send",
    "pg_catalog.time": "time_send",
    "pg_catalog.timetz": "timetz_send",
    "pg_catalog.timestamp": "timestamp_send",
    "pg_catalog.timestamptz": "timestamptz_send",
    "pg_catalog.float4": "float4send",
    "pg_catalog.float8": "float8send",
    "pg_catalog.interval": "interval_send",
    "pg_catalog.bpchar": "bpcharsend",
}
_TEXTUAL = frozenset(("pg_catalog.text", "pg_catalog.varchar", "pg_catalog.name"))


def _column(alias: str, column: Column) -> sql.Composed:
    return sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(column.name))


def exact_terms(alias: str, column: Column) -> list[sql.Composable]:
    """The parts of a ROW(...) that are equal exactly when the column's stored values are."""
    value = _column(alias, column)
    if column.base_type in _SENDERS:
        return [sql.SQL("pg_catalog.{}({})").format(sql.Identifier(_SENDERS[column.base_type]), value)]
    if column.base_type in _PLAIN or column.type_kind == "e":
        if not column.deterministic and column.base_type in _TEXTUAL:
            return [sql.SQL('{}::text COLLATE "C"').format(value)]
        return [value]
    return [sql.SQL('{}::text COLLATE "C"').format(value)]


def coarse_terms(alias: str, column: Column) -> list[sql.Composable]:
    """The part of a ROW(...) that equal stored values always share, whatever the session's settings."""
    value = _column(alias, column)
    hashable = column.base_type in _PLAIN or column.base_type in _SENDERS or column.type_kind == "e"
    if hashable:
        if not column.deterministic and column.base_type in _TEXTUAL:
            return [sql.SQL('{}::text COLLATE "C"').format(value)]
        return [value]
    return [sql.SQL('{}::text COLLATE "C"').format(value)]


def exact_hash(alias: str, columns: Iterable[Column]) -> sql.Composed:
    """bigint: the hash of the exact image of the row `alias`, over the columns that are stored."""
    image = _hash(
        term for column in columns if column.generated != "v" for term in exact_terms(alias, column)
    )
    return _hash([sql.SQL("pg_catalog.int8send({})").format(image)])


def coarse_hash(alias: str, columns: Iterable[Column]) -> sql.Composed:
    """bigint: the hash by which a row without a key is found again, over the columns that are stored."""
    return _hash(
        term for column in columns if column.generated != "v" for term in coarse_terms(alias, column)
    )


def _hash(terms: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL("pg_catalog.hash_record_extended(ROW({}), 0)").format(sql.SQL(", ").join(terms))
