"""The arithmetic of buckets, as SQL.

A bucket is what a chunk would be: the number of whole intervals since 1970-01-01 (UTC), or since 0 for
integers, as TimescaleDB aligns its chunks (`calculate_open_range_default` in its dimension.c).
"""

from __future__ import annotations

import math

from psycopg import sql

INTEGERS = {"pg_catalog.int2": 10_000, "pg_catalog.int4": 1_000_000, "pg_catalog.int8": 1_000_000}
"""Integer time types with the width that is taken where the unit cannot be guessed."""
MOMENTS = frozenset({"pg_catalog.date", "pg_catalog.timestamp", "pg_catalog.timestamptz", "pg_catalog.uuid"})
TIME_TYPES = MOMENTS | INTEGERS.keys()

_YEAR = 365 * 24 * 3600


def moment_of(kind: str) -> sql.SQL:
    """The type through which a date or timestamp of base type `kind` is read."""
    return sql.SQL("timestamptz" if kind == "pg_catalog.timestamptz" else "timestamp")


def position_of(value: sql.Composable, kind: str) -> sql.Composed:
    """Where a finite value (no uuid) stands: seconds since 1970, or the integer, as float8."""
    if kind in INTEGERS:
        return sql.SQL("{}::float8").format(value)
    if kind == "pg_catalog.date":
        # Dates go on for five million years after the last timestamp; no chunk can hold those, and they count as one bucket.
        return sql.SQL("(LEAST({}, '294277-01-01'::date) - '1970-01-01'::date)::float8 * 86400").format(value)
    return sql.SQL("date_part('epoch', {}::{})").format(value, moment_of(kind))


def bucket_of(position: sql.Composable, width: float) -> sql.Composed:
    """The bucket of a position: never less for a later one, whatever is rounded on the way."""
    return sql.SQL("floor({} / {})").format(position, sql.Literal(width))


def least_distance(kind: str, width: float) -> int:
    """Buckets that the bulk of the rows is taken to span at least, where it is asked what lies far from it: a year's."""
    return 52 if kind in INTEGERS else max(1, math.ceil(_YEAR / width))


def behind_bucket(value: sql.Composable, kind: str, width: float) -> sql.Composed:
    """A bound below every value of a later bucket than that of the finite `value` (no uuid), and not below `value` itself.

    The end of the bucket, less what the rounding of float8 (2^-53 for each step of the way here and there) and to_timestamp (a
    microsecond) can make of it. Comes as int8, timestamp or timestamptz; one beyond the type's end is its end.
    """
    end = sql.SQL("(({}) + 1) * {}").format(
        bucket_of(position_of(value, kind), width), sql.Literal(width)
    )
    less = sql.SQL("{end} - abs({end}) * 2.0::float8 ^ -50").format(end=sql.SQL("e.at"))
    if kind in INTEGERS:
        bound = sql.SQL(
            "CASE WHEN e.bound >= 9223372036854775808 THEN 9223372036854775807 "
            "WHEN e.bound < -9223372036854775808 THEN {value}::int8 ELSE greatest({value}::int8, e.bound::int8) END"
        ).format(value=value)
        less = sql.SQL("ceil({}) - 1").format(less)
    else:
        # The ends of PostgreSQL's timestamps: 294277-01-01 and 4714-11-24 BC, in seconds.
        zone = "" if kind == "pg_catalog.timestamptz" else " AT TIME ZONE 'UTC'"
        # A date from there on is in the last bucket, and no timestamp.
        beyond = "{value} >= '294277-01-01'::date OR " if kind == "pg_catalog.date" else ""
        bound = sql.SQL(
            "CASE WHEN {beyond}e.bound >= 9224318016000 THEN 'infinity' "
            "ELSE greatest({value}::{moment}, to_timestamp(greatest(e.bound, -210866803200)){zone}) END"
        ).format(
            value=value,
            moment=moment_of(kind),
            zone=sql.SQL(zone),
            beyond=sql.SQL(beyond).format(value=value),
        )
        less = sql.SQL("{} - 0.000002").format(less)
    return sql.SQL("(SELECT {bound} FROM (SELECT {less} AS bound FROM (SELECT {end} AS at) AS e) AS e)").format(
        bound=bound, less=less, end=end
    )
