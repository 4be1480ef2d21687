"""Values for parameters, from rows of the table that a seed decides on.

Cheap on large tables: some pages of a plain one, the index on the time of a hypertable.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence

import psycopg
from psycopg import sql

from ..catalog.resolve import user_schemas
from ..catalog.table import columns as table_columns
from ..db import fetch_one, is_lost_connection, is_transient, patient_read
from ..db.connection import Connection
from ..errors import Failed
from ..model.statement import fragment
from ..words import plural
from .options import LeftOut, Query, Side
from .session import PART
from .sides import query
from .statements import loud
from .volatile import volatile_calls

PAGES = 400
"""About as many pages of a plain table are sampled; ten times as many where they do not hold enough rows, and so on."""
MOST_TIMES = 100
"""For rows with values in some columns, so many times these pages at most: a column may be NULL almost everywhere."""
MOST_LOOKED_AT = 1_000
"""So many rows of a hypertable are looked at from a random time on for one that has every value."""
ATTEMPTS = 3
"""So often as many random times are taken as rows are wanted, where some find none."""
HOLD_NULL = "hold a NULL"
Row = tuple[str | None, ...]

_BOUNDS = {
    "pg_catalog.timestamptz": "({low}::timestamptz + ({high}::timestamptz - {low}::timestamptz) * {part})",
    "pg_catalog.timestamp": "({low}::timestamp + ({high}::timestamp - {low}::timestamp) * {part})",
    "pg_catalog.date": "({low}::timestamp + ({high}::timestamp - {low}::timestamp) * {part})::date",
    "pg_catalog.int2": "({low}::numeric + ({high}::numeric - {low}::numeric) * {part})::int8",
    "pg_catalog.int4": "({low}::numeric + ({high}::numeric - {low}::numeric) * {part})::int8",
    "pg_catalog.int8": "({low}::numeric + ({high}::numeric - {low}::numeric) * {part})::int8",
}
"""The time at a part of the way from the first to the last."""


class _Cancelled(Exception):
    """A look at the table was cancelled after some seconds."""

    def __init__(self, error: psycopg.errors.QueryCanceled, seconds: float) -> None:
        super().__init__(str(error))
        self.error = error
        self.seconds = seconds


def draw(conn: Connection, side: Side, each: Query, draws: int, seed: int, limit: float) -> Query | LeftOut:
    """The query with `draws` sets of values; one empty set for a query without parameters. `limit`: after how many seconds the
    server cancels a statement of this session. Raises Failed for an empty table."""
    if each.drawn:
        return each
    if not each.values:
        return Query(each.name, each.sql, each.values, ((),), each.calls, each.total_ms)
    numbers = sorted(each.values)
    span = max(value.row for value in each.values.values())
    expressions = [each.values[number].expression for number in numbers]
    wanted = [value.expression for value in each.values.values() if value.inferred]
    unfit = _unfit(conn, expressions)
    if unfit is not None:
        remedy = "take an expression that only reads the columns of one row of the table"
        return LeftOut(each.name, each.sql, f"its values are not drawn: {unfit}", remedy)

    def look() -> tuple[list[Row], bool]:
        """The rows, and whether the table has others."""
        found = _rows(conn, side, expressions, wanted, draws * span, seed)
        return found, len(found) < span and bool(wanted) and bool(_rows(conn, side, ["1"], [], 1, seed))

    try:
        rows, others = patient_read(conn, f"read {side.name}", [side.name], look)
    except _Cancelled as cancelled:
        if cancelled.seconds < PART * limit:
            raise cancelled.error from None  # somebody cancelled it
        reason = f"its values are not drawn: looking for them in {side.name} takes longer than {limit:g} s"
        remedy = "say other values with `-- param N: EXPRESSION`: of columns that most rows have a value in, or a constant"
        return LeftOut(each.name, each.sql, reason, remedy)
    except psycopg.Error as error:
        if is_lost_connection(error) or is_transient(error):
            raise
        said = error.diag.message_primary or str(error)
        remedy = "an expression is SQL over the columns of one row of the table; correct it in the file of queries"
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            remedy = "grant this role what the server names: a benchmark reads the table as the application does"
        return LeftOut(each.name, each.sql, f"its values cannot be drawn ({', '.join(expressions)}): {said}", remedy)
    if others:
        reason = f"its values are not drawn: of the rows looked at, {len(rows)} hold a value in each of {', '.join(wanted)}"
        needed = f"{plural(span, 'row')} {'is' if span == 1 else 'are'} needed"
        remedy = f"{needed}; say what the application asks for, with `-- param N: EXPRESSION`"
        return LeftOut(each.name, each.sql, reason, remedy)
    if len(rows) < span:
        raise Failed(
            f"{side.name} has too few rows to draw values from.",
            facts={"rows needed": span, "rows found": len(rows)},
            remedy="benchmark a table that holds the application's data.",
        )
    sets = tuple(
        tuple(rows[at + each.values[number].row - 1][place] for place, number in enumerate(numbers))
        for at in range(0, len(rows) - span + 1, span)
    )
    return Query(each.name, each.sql, each.values, sets, each.calls, each.total_ms)


def nulls(each: Query) -> Iterator[str]:
    """A note on a query whose author's expressions gave NULL: compared with it, no row is found, nor looked for."""
    sets = sum(None in drawn for drawn in each.drawn)
    if sets:
        yield (
            f"{sets} of {plural(len(each.drawn), 'set')} of values {HOLD_NULL}, with which a comparison finds nothing and costs "
            "nothing; take another `-- param`, such as COALESCE(...), if the application asks for values alone"
        )


def _unfit(conn: Connection, expressions: Sequence[str]) -> str | None:
    """Why one of them is more than a look at a row's columns; None where none is."""
    for each in expressions:
        try:
            words = loud(each)
        except ValueError as error:
            return f"{each}: {error}"
        depth = 0
        for token in words:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            if depth < 0 or token.text == ";":
                return f"{each}: it is no single expression"
        if depth:
            return f"{each}: a parenthesis is not closed"
        names = volatile_calls(conn, each, [*user_schemas(conn), "pg_catalog"])
        if names:
            return f"{each} calls {names}, which is volatile and may do more than read"
    return None


def _read(conn: Connection, statement: sql.Composed) -> list[Row]:
    """All rows. The text can only be one statement: the extended protocol, which binary results need, takes no second one.
    Raises _Cancelled."""
    begun = time.monotonic()
    try:
        return conn.execute(statement, binary=True).fetchall()
    except psycopg.errors.QueryCanceled as error:
        raise _Cancelled(error, time.monotonic() - begun) from None


def _rows(
    conn: Connection, side: Side, expressions: Sequence[str], wanted: Sequence[str], rows: int, seed: int
) -> list[Row]:
    """Up to `rows` drawn rows, each the expressions' values as text; of rows where each of `wanted` has a value."""
    parts: dict[str, sql.Composable] = {
        # A line of its own for what is behind an expression: it may end in a comment.
        "values": sql.SQL(", ").join(sql.SQL("({}\n)::pg_catalog.text").format(fragment(each)) for each in expressions),
        "table": sql.Identifier(side.name.schema, side.name.name),
        "alias": sql.Identifier(side.name.name),
        "seed": sql.Literal(seed),
        "rows": sql.Literal(rows),
        "most": sql.Literal(MOST_LOOKED_AT if wanted else 1),
        "present": sql.SQL(" AND ").join(map(_present, wanted)) if wanted else sql.SQL("true"),
    }
    with conn.transaction():
        # The server pushes no writing function past this.
        conn.execute("SET TRANSACTION READ ONLY")
        # As the queries themselves are run: a role that a policy holds for reads what that shows it.
        conn.execute("SET LOCAL row_security = on")
        if side.chunks is not None:
            return _by_time(conn, side, parts, rows, seed)
        return _by_pages(conn, side, parts, rows, MOST_TIMES * PAGES if wanted else None)


def _present(expression: str) -> sql.Composed:
    """Whether an inferred expression, of the table's columns alone, has a value; an array, all of them."""
    every = "VARIADIC " if expression.startswith("ARRAY[") else ""
    return sql.SQL("pg_catalog.num_nulls(" + every + "{}) = 0").format(fragment(expression))


def _by_pages(
    conn: Connection, side: Side, parts: dict[str, sql.Composable], rows: int, most: int | None
) -> list[Row]:
    """From about PAGES pages, and from more where they do not hold enough rows; from `most` at most (None: from all)."""
    facts = fetch_one(conn, query("relation"), {"oid": side.oid})
    pages = max(1, int(facts[2])) if facts is not None else 1
    percent = min(100.0, 100.0 * PAGES / pages)
    last = 100.0 if most is None else min(100.0, 100.0 * most / pages)
    while True:
        found = _read(conn, query("sample").format(**parts, percent=sql.Literal(percent)))
        if len(found) >= rows or percent >= last:
            return found
        percent = min(last, percent * 10)


def _by_time(conn: Connection, side: Side, parts: dict[str, sql.Composable], rows: int, seed: int) -> list[Row]:
    """A hypertable ignores TABLESAMPLE: rows at random times instead."""
    column = next(each for each in table_columns(conn, side.oid) if each.name == side.time_column)
    bound = _BOUNDS.get(column.base_type)
    if bound is None:
        return _read(conn, query("first_rows").format(**parts))
    moment = sql.Identifier(column.name)
    [(low, high)] = _read(conn, query("span").format(table=parts["table"], time=moment))
    if low is None:
        return []
    numbers = random.Random(seed)
    found: list[Row] = []
    for attempt in range(ATTEMPTS * rows):
        if len(found) == rows or (attempt >= rows and not found):
            break
        at = sql.SQL(bound).format(
            low=sql.Literal(low), high=sql.Literal(high), part=sql.Literal(round(numbers.random(), 9))
        )
        found += _read(conn, query("row_from").format(**parts, time=moment, bound=at))
    return found
