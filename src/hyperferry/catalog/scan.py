"""Facts that need the rows: by an index where one serves (`by_index`), else by one pass over the table; in plain SQL that
needs no TimescaleDB."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import psycopg
from psycopg import sql

from ..db import fetch_all, fetch_one, fetch_value, load_queries, yield_and_retry
from ..db.connection import Connection
from ..errors import Usage
from ..model.inspection import Column, ScanFacts, TableFacts
from ..model.reading import Reading
from .buckets import INTEGERS, TIME_TYPES, bucket_of, least_distance, moment_of, position_of
from .by_index import along_index, prospect
from .scatter import columns_in_order, ranges_on_page

DEFAULT_INTERVAL = "7 days"
WEEK = 7 * 24 * 3600
BYTES_PER_SECOND = 150_000_000
"""How much of a table one pass reads in a second, cautiously: a cold cloud disk gives about this."""


def estimate_scan_seconds(table: TableFacts) -> float:
    """How long `scan` will take, from the table's size: for the message that comes before it."""
    return table.heap_bytes / BYTES_PER_SECOND


def interval_width(
    conn: Connection, table: TableFacts, column: Column, interval: str | None
) -> tuple[float, str]:
    """The width of a bucket (seconds, or units of an integer column) and its text.

    For an integer column the unit is guessed from the magnitude of some values: seconds, milli-, micro- or nanoseconds since
    1970. Without an interval that makes a week; a length of time such as '7 days' is turned into it, and the text is the number.
    Raises Usage for an interval that the column cannot have.
    """
    if column.base_type in INTEGERS:
        width = _integer_width(conn, table, column, interval)
        return float(width), str(width)
    text = interval or DEFAULT_INTERVAL
    seconds = _seconds(conn, text)
    if seconds is None:
        raise _unusable(column, text, "give a length of time such as '7 days' or '12 hours'.")
    return seconds, text


def _integer_width(conn: Connection, table: TableFacts, column: Column, interval: str | None) -> int:
    if interval is not None and (width := _whole(interval)) is not None:
        if width > 0:
            return width
        raise _unusable(column, interval, "give a whole number above 0, in the column's own unit.")
    unit = _guess_unit(conn, table, column)
    if interval is None:
        return WEEK * unit if unit else INTEGERS[column.base_type]
    seconds = _seconds(conn, interval)
    if seconds is None:
        raise _unusable(
            column,
            interval,
            "give a whole number above 0, in the column's own unit, or a length of time such as '7 days'.",
        )
    if unit is None:
        raise _unusable(
            column,
            interval,
            "its values do not tell their unit (they are not seconds, milli-, micro- or nanoseconds since 1970), so a length of "
            "time says nothing: give a whole number in the column's own unit.",
        )
    return max(1, round(seconds * unit))


def _unusable(column: Column, text: str, remedy: str) -> Usage:
    return Usage(
        f"{text!r} cannot be the chunk interval of {column.name}.",
        facts={"column": f"{column.name} {column.type_sql}"},
        remedy=remedy,
    )


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _seconds(conn: Connection, text: str) -> float | None:
    """A length of time in seconds; None for what is none, or is not finite and above 0."""
    try:
        seconds = float(fetch_value(conn, _query("interval_seconds"), {"text": text}))
    except (ValueError, psycopg.errors.DataError):
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _guess_unit(conn: Connection, table: TableFacts, column: Column) -> int | None:
    """Units a second, by the largest of some values; None where that tells nothing."""
    largest = fetch_value(conn, _composed("sample_integer", table, column))
    if column.base_type != "pg_catalog.int2" and largest is not None:
        for unit in (1, 10**3, 10**6, 10**9):
            # from 1984 to 2128
            if 4.5e8 * unit <= float(largest) <= 5e9 * unit:
                return unit
    return None


def scan(
    conn: Connection,
    table: TableFacts,
    column: Column,
    interval: str | None,
    announce: Callable[[Reading], None] = lambda reading: None,
) -> ScanFacts | None:
    """Rows, NULLs, infinities, span, buckets, outliers and violations of checks; None where it cannot be
    done.

    That is so for a time column of no time type, a relation without rows of its own, and rows that the role
    may not (all) read. Takes ACCESS SHARE and holds one snapshot for as long as it reads. `announce` is told
    before anything is read in which way that will be, and again where the index turns out not to serve.
    """
    if column.base_type not in TIME_TYPES or table.relkind not in ("r", "m"):
        return None
    checks = fetch_all(conn, _query("not_valid"), {"oid": table.oid}) if table.relkind == "r" else []
    told: set[Reading] = set()

    def tell(reading: Reading) -> None:
        if reading not in told:
            told.add(reading)
            announce(reading)

    def read() -> ScanFacts:
        width, text = interval_width(conn, table, column, interval)
        found = None if checks else prospect(conn, table, column)
        if found is not None:
            tell(Reading(by_index=True, seconds=found.seconds))
            facts = along_index(conn, table, column, width, text, found)
            if facts is not None:
                return _with_order(conn, table, column, width, facts)
        tell(Reading(by_index=False, seconds=estimate_scan_seconds(table)))
        return _with_order(conn, table, column, width, whole_pass(conn, table, column, width, text, checks))

    started = time.monotonic()
    try:
        facts = yield_and_retry(conn, f"read {table.name}", [table.name], read, attempts=20)
    except psycopg.errors.InsufficientPrivilege:
        return None
    return replace(facts, seconds=time.monotonic() - started)


def _with_order(conn: Connection, table: TableFacts, column: Column, width: float, facts: ScanFacts) -> ScanFacts:
    """The facts, and in what order the rows lie; that is asked where they lie scattered by their time."""
    ranges = ranges_on_page(conn, table, column, width, facts)
    if ranges is None:
        return facts
    return replace(facts, ranges_on_page=round(ranges, 2), in_order=columns_in_order(conn, table))


def whole_pass(
    conn: Connection,
    table: TableFacts,
    column: Column,
    width: float,
    interval: str,
    checks: Sequence[tuple[str, str]] = (),
) -> ScanFacts:
    """Every row, once. `checks`: names of constraints, and the condition that a row violates one. `seconds` is 0."""
    row = fetch_one(conn, _scan_statement(table, column, width, [check for _, check in checks]))
    assert row is not None
    return ScanFacts(
        rows=row[0],
        nulls=row[1],
        infinite=row[2],
        minimum=row[3],
        maximum=row[4],
        buckets=row[5],
        far_rows=row[6],
        far_examples=tuple(row[7]),
        check_violations=tuple(
            (str(name), int(count)) for (name, _), count in zip(checks, row[8], strict=False) if count
        ),
        seconds=0.0,
        interval=interval,
        far_buckets=row[9],
        not_uuid_v7=row[10],
    )


def _scan_statement(table: TableFacts, column: Column, width: float, checks: list[str]) -> sql.Composed:
    name = sql.Identifier(column.name)
    kind = column.base_type
    false = sql.SQL("false")
    infinite: sql.Composable = false
    not_v7: sql.Composable = false
    value: sql.Composable = name
    if kind == "pg_catalog.uuid":
        # RFC 9562: 48 bits of milliseconds, then the version.
        milliseconds = sql.SQL(
            "('x' || left(replace({}::text, '-', ''), 12))::pg_catalog.bit(48)::pg_catalog.int8"
        ).format(name)
        not_v7 = sql.SQL("substr({}::text, 15, 1) <> '7'").format(name)
        value = sql.SQL("CASE WHEN NOT ({}) THEN to_timestamp({} / 1000.0) END").format(not_v7, milliseconds)
        seconds: sql.Composable = sql.SQL("date_part('epoch', {})").format(value)
    elif kind in INTEGERS:
        seconds = position_of(name, kind)
    else:
        # As it is where it is a date (not all of them are timestamps); through a domain otherwise.
        moment = sql.SQL("date") if kind == "pg_catalog.date" else moment_of(kind)
        infinite = sql.SQL("NOT isfinite({}::{})").format(name, moment)
        value = sql.SQL("CASE WHEN isfinite({name}::{moment}) THEN {name} END").format(
            name=name, moment=moment
        )
        seconds = position_of(value, kind)
    counts = [sql.SQL("count(*) FILTER (WHERE {})").format(sql.SQL(check)) for check in checks]
    return _composed(
        "scan",
        table,
        column,
        bucket=bucket_of(seconds, width),
        usable=sql.SQL("{} IS NOT NULL").format(value),
        value=value,
        infinite=infinite,
        not_v7=not_v7,
        violations=sql.SQL("ARRAY[{}]::bigint[]").format(sql.SQL(", ").join(counts)),
        least_distance=sql.Literal(least_distance(kind, width)),
    )


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "scan.sql")[name]


def _composed(name: str, table: TableFacts, column: Column, **parts: sql.Composable) -> sql.Composed:
    return _query(name).format(
        table=sql.Identifier(table.name.schema, table.name.name), time=sql.Identifier(column.name), **parts
    )
