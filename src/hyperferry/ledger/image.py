"""A row's image as something to hash.

`exact_hash` follows `record_image_eq`: two rows hash alike only when every column is stored alike. `hash_record_extended` alone
calls 1.0 and 1.00, 0 and -0.0, '1 mon' and '30 days' equal. `coarse_hash` need only be a function of the row that the writer's
settings cannot change: it serves as the identity of rows without a key. Nor may anything else change it that happens between
a change and its being applied, as it stands in the change log: so it leaves out what has nothing but a text in which names stand
(of tables, roles, an enum's values) or whose form follows another type, and rows that differ in no more are applied together. A
rollout keeps the hash that it began with (`Plan.image`); the first one took such texts in.

Verification spends most of its time in `exact_hash`, so the commonest types are hashed by their own hash functions, which is
twice as fast as a record of binary forms. Traits of these functions, all measured, decide the rest:
- eight bytes are folded to four (0 and 4294967297 hash alike). An integer's upper half is hashed as well. A time is hashed as a
  number of seconds, which is exact near our century (`_SECONDS`), and in its binary form elsewhere;
- numeric forgets the sign (1.5 and -1.5) and the scale, and knows no NaN. Sign and scale are hashed as well, NaN and the
  infinities as text. It adds the power of 10000 by an exclusive or, so that two columns' could cancel out ((1, 1) and
  (10000, 10000) hashed alike): its hash is hashed once more;
- floats that are equal and not the same (0 and -0.0, several NaN) go through their binary form, and so do all types by whose
  equality more is equal than the same, or whose hash function cannot be called with a seed on every version;
- a record's hash is linear, 31 * h(a) + h(b), so the sum over rows would not change when two rows swap their values of one
  column; an exclusive or of hashes comes near to that. A row's hash is therefore hashed once more, as the seed, which is not
  folded.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from ..model.inspection import Column
from ..model.plan import IMAGE

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
# Shown as a name that may be another one tomorrow; stored as an OID.
_OIDS = frozenset(
    f"pg_catalog.reg{name}"
    for name in [
        "class",
        "collation",
        "config",
        "database",
        "dictionary",
        "namespace",
        "oper",
        "operator",
        "proc",
        "procedure",
        "role",
        "type",
    ]
)
_TEXT_OF_NAMES = ("reg", "pg_", "aclitem", "record")
"""How the names of those types of PostgreSQL's own begin in whose arrays such texts stand (pg_: rows of catalogs)."""
_TEXTUAL = frozenset(("pg_catalog.text", "pg_catalog.varchar", "pg_catalog.name"))
# Near our century a time is hashed as its seconds since 2000, in double precision: below 2^32 seconds numbers a microsecond
# apart stay apart (the doubles there are less than half of one apart). Further away, and infinite, in its binary form.
_SECONDS = (
    "CASE WHEN {{v}} OPERATOR(pg_catalog.>=) '1900-01-01'::{kind} AND {{v}} OPERATOR(pg_catalog.<) '2100-01-01'::{kind} "
    "THEN pg_catalog.hashfloat8extended(pg_catalog.{range}_subdiff({{v}}, '2000-01-01'::{kind}), {{seed}}) "
    "WHEN {{v}} IS NOT NULL THEN pg_catalog.hash_record_extended(ROW(pg_catalog.{kind}_send({{v}})), {{seed}}) END"
)
# A float that is not 0 and not NaN is equal to no other.
_FLOAT = (
    "CASE WHEN {{v}} OPERATOR(pg_catalog.<>) 0::{kind} AND {{v}} OPERATOR(pg_catalog.<>) 'NaN'::{kind} "
    "THEN pg_catalog.hash{kind}extended({{v}}, {{seed}}) "
    "WHEN {{v}} IS NOT NULL THEN pg_catalog.hash_record_extended(ROW(pg_catalog.{kind}send({{v}})), {{seed}}) END"
)
_TEXT = "pg_catalog.hashtextextended({v}::text COLLATE \"C\", {seed})"
_AS_TEXT = sql.SQL(_TEXT)
# Exact hashes of single values, NULL only for NULL; {v} the value, {seed} a bigint.
_QUICK = {
    f"pg_catalog.{name}": sql.SQL(form)
    for name, form in {
        "bool": "pg_catalog.hashint4extended({v}::int4, {seed})",
        "int2": "pg_catalog.hashint2extended({v}, {seed})",
        "int4": "pg_catalog.hashint4extended({v}, {seed})",
        "int8": "pg_catalog.hashint8extended({v}, pg_catalog.hashint8extended({v} OPERATOR(pg_catalog.>>) 32, {seed}))",
        "numeric": "COALESCE(pg_catalog.hashint4extended(0, "
        "pg_catalog.hash_numeric_extended({v}, pg_catalog.hashint4extended(pg_catalog.scale({v}), "
        "pg_catalog.hashint4extended(pg_catalog.numeric_cmp({v}, 0::numeric), {seed})))), "
        "pg_catalog.hashtextextended({v}::text COLLATE \"C\", {seed}))",
        "float4": _FLOAT.format(kind="float4"),
        "float8": _FLOAT.format(kind="float8"),
        "text": _TEXT,
        "varchar": _TEXT,
        "uuid": "pg_catalog.uuid_hash_extended({v}, {seed})",
        "date": "pg_catalog.hashfloat8extended(pg_catalog.daterange_subdiff({v}, '2000-01-01'::date), {seed})",
        "timestamp": _SECONDS.format(kind="timestamp", range="tsrange"),
        "timestamptz": _SECONDS.format(kind="timestamptz", range="tstzrange"),
    }.items()
}


def _column(alias: str, column: Column) -> sql.Composed:
    return sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(column.name))


def _by_text(column: Column) -> bool:
    """Whether nothing but the value's text shows its image. A record of one text takes a third longer than its own hash."""
    return column.base_type not in _SENDERS and column.base_type not in _PLAIN and column.type_kind != "e"


def _rest(alias: str, column: Column) -> sql.Composable:
    """The part of a ROW(...) that is equal exactly when the column's stored values are."""
    value = _column(alias, column)
    if column.base_type in _SENDERS:
        return sql.SQL("pg_catalog.{}({})").format(sql.Identifier(_SENDERS[column.base_type]), value)
    if column.base_type in _PLAIN or column.type_kind == "e":
        if not column.deterministic and column.base_type in _TEXTUAL:
            return sql.SQL('{}::text COLLATE "C"').format(value)
        return value
    return sql.SQL('{}::text COLLATE "C"').format(value)


def _named_elsewhere(column: Column) -> bool:
    """Whether DDL on something else changes the value's text: RENAME, DROP, ADD ATTRIBUTE."""
    schema, _, name = column.base_type.partition(".")
    if column.type_kind in ("a", "r", "m"):
        return schema != "pg_catalog" or name.removeprefix("_").startswith(_TEXT_OF_NAMES)
    return column.type_kind == "c" or (schema == "pg_catalog" and name == "aclitem")


def coarse_terms(alias: str, column: Column, image: int = IMAGE) -> list[sql.Composable]:
    """The part of a ROW(...) that equal stored values always share, whatever the session's settings; nothing of a column that
    has nothing for it. `image`: of which plans."""
    value = _column(alias, column)
    if image >= 2:
        if column.base_type in _OIDS:
            return [sql.SQL("{}::oid").format(value)]
        if _named_elsewhere(column):
            return []
    hashable = column.base_type in _PLAIN or column.base_type in _SENDERS or column.type_kind == "e"
    if hashable:
        if not column.deterministic and column.base_type in _TEXTUAL:
            return [sql.SQL('{}::text COLLATE "C"').format(value)]
        return [value]
    return [sql.SQL('{}::text COLLATE "C"').format(value)]


def seed_of(number: int) -> int:
    """A bigint that looks like chance, another for each number from 0 on (the steps of SplitMix64).

    Some hash functions give the seed itself for a value (a date's for 2000-01-01). Were seeds small numbers, the seeds and the
    numbers of NULLs of several columns could add up to the same: 1 ^ 6 is 2 ^ 5, and (2000-01-01, x, NULL) would be
    (NULL, x, 2000-01-01).
    """
    z = (number + 1) * 0x9E3779B97F4A7C15 % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return (z ^ z >> 31) - 2**63


def exact_hash(alias: str, columns: Iterable[Column]) -> sql.Composed:
    """bigint, never NULL: the hash of the exact image of the row `alias`, over the columns that are stored."""
    parts: list[sql.Composable] = []
    rest: list[sql.Composable] = []
    for number, column in enumerate(column for column in columns if column.generated != "v"):
        form = _QUICK.get(column.base_type) or (_AS_TEXT if _by_text(column) else None)
        if form is None:
            rest.append(_rest(alias, column))
            continue
        # Each column has a seed of its own, so that (1, 2) is not (2, 1); and another number for NULL.
        quick = form.format(v=_column(alias, column), seed=sql.SQL("{}::int8").format(sql.Literal(seed_of(2 * number))))
        parts.append(sql.SQL("COALESCE({}, {}::int8)").format(quick, sql.Literal(seed_of(2 * number + 1))))
    if rest or not parts:
        parts.append(_hash(rest))
    return sql.SQL("pg_catalog.hashint4extended(0, {})").format(sql.SQL(" OPERATOR(pg_catalog.#) ").join(parts))


def coarse_hash(alias: str, columns: Iterable[Column], *, image: int = IMAGE) -> sql.Composed:
    """bigint: the hash by which a row without a key is found again, over the columns that are stored. `image`: of which plans."""
    return _hash(
        term for column in columns if column.generated != "v" for term in coarse_terms(alias, column, image)
    )


def _hash(terms: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL("pg_catalog.hash_record_extended(ROW({}), 0)").format(sql.SQL(", ").join(terms))
