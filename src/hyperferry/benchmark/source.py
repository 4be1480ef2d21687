"""Where the queries come from: a file, an earlier benchmark, pg_stat_statements."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from ..catalog.buckets import MOMENTS
from ..catalog.table import columns as table_columns
from ..db import fetch_all, fetch_one, fetch_value, load_queries
from ..db.connection import Connection
from ..errors import Failed, Usage
from ..model.names import TableName
from . import query_file
from .infer import Column, infer
from .options import BenchOptions, LeftOut, Query, Side
from .sides import query
from .statements import loud, names_one, parameters, refusal

ANNOTATE = (
    "write it into a file (`--write-queries FILE` begins one) with `-- param N: EXPRESSION` for each parameter, and give that "
    "with --queries"
)
GRANT = "GRANT pg_read_all_stats TO the role that runs hyperferry, or give a file with --queries."
INSTALL = (
    "give a file with --queries; or add pg_stat_statements to shared_preload_libraries, restart the server, and "
    "CREATE EXTENSION pg_stat_statements in this database."
)


def gather(
    conn: Connection, options: BenchOptions, names: Sequence[TableName], side: Side
) -> tuple[list[Query], list[LeftOut]]:
    """The queries with the expressions of their parameters, and those that cannot be run. `names`: the table,
    and the views on it. Raises Usage, Failed."""
    if options.queries is not None:
        found = query_file.parse(*options.queries)
    elif options.against is not None:
        return [outcome.query for outcome in options.against.outcomes], []
    else:
        found = from_statements(conn, names, options.top, writes=False)
    known = inferable(conn, side)
    kept: list[Query] = []
    left_out: list[LeftOut] = []
    for each in found:
        result = complete(each, names, known, conn.info.dbname)
        if isinstance(result, Query):
            kept.append(result)
        else:
            left_out.append(result)
    return kept, left_out


def complete(each: Query, names: Sequence[TableName], known: Sequence[Column], database: str) -> Query | LeftOut:
    """The query with a source for every parameter: what its author said, else what can be inferred."""
    why = refusal(each.sql)
    if why is not None:
        return LeftOut(
            each.name, each.sql, why, "benchmark the statement that reads; hyperferry runs nothing that writes or locks"
        )
    inferred, reasons = infer(each.sql, names, known, database)
    values = {**inferred, **each.values}
    unknown = tuple(number for number in parameters(each.sql) if number not in values)
    if unknown:
        first = reasons.get(unknown[0], "nothing says what it stands for")
        reason = f"the value of ${unknown[0]} is not known: {first}"
        return LeftOut(each.name, each.sql, reason, ANNOTATE, unknown, values)
    return Query(each.name, each.sql, values, calls=each.calls, total_ms=each.total_ms)


def inferable(conn: Connection, side: Side) -> list[Column]:
    """The table's columns as inference needs them."""
    found = []
    for column in table_columns(conn, side.oid):
        width = None
        if column.name == side.time_column and column.base_type != "pg_catalog.uuid":
            width = side.range_width or ("interval '1 day'" if column.base_type in MOMENTS else None)
        found.append(Column(column.name, width))
    return found


def from_statements(conn: Connection, names: Sequence[TableName], top: int, *, writes: bool = True) -> list[Query]:
    """The costliest statements that name the table, the first of `names`, or a view on it; with `writes` those that write too.

    Raises Usage where pg_stat_statements is not there, Failed where it shows nothing.
    """
    schema = fetch_value(conn, load_queries("hyperferry.catalog", "statements.sql")["extension_schema"])
    if schema is None:
        raise Usage("No queries were given, and pg_stat_statements is not in this database.", remedy=INSTALL)
    view = sql.Identifier(schema, "pg_stat_statements")
    try:
        rows = fetch_all(conn, query("statements").format(view=view), {"names": [each.name for each in names]})
        hidden = int(fetch_value(conn, query("hidden").format(view=view)))
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise Usage(
            "No queries were given, and pg_stat_statements is not loaded.",
            facts={"server said": error.diag.message_primary},
            remedy=INSTALL,
        ) from None
    except psycopg.errors.UndefinedColumn as error:
        raise Usage(
            "No queries were given, and pg_stat_statements is of an older version than this server's.",
            facts={"server said": error.diag.message_primary},
            remedy="ALTER EXTENSION pg_stat_statements UPDATE; or give a file with --queries.",
        ) from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise Failed(
            "No queries were given, and this role may not read pg_stat_statements.",
            facts={"server said": error.diag.message_primary},
            remedy=GRANT,
        ) from None
    texts = [row for row in rows if _application(str(row[0]), names[0], writes=writes)]
    found = [row for row in texts if names_one(str(row[0]), names, conn.info.dbname)]
    if not found:
        facts: dict[str, object] = {
            "statements that name it": len(texts),
            "statements hidden from this role": hidden,
            **_dropped(conn, schema),
        }
        raise Failed(
            f"pg_stat_statements shows no query that reads {names[0]}.",
            facts=facts,
            remedy=GRANT if hidden else "let the application work for a while, or give a file with --queries.",
        )
    return [
        Query(f"statement {number}", str(text).strip(), calls=calls, total_ms=total)
        for number, (text, calls, total) in enumerate(found[:top], 1)
    ]


def unseen(conn: Connection) -> tuple[str, ...]:
    """What pg_stat_statements may have that is not among the queries found in it, in words: notes on a report. It is there,
    and can be read."""
    schema = fetch_value(conn, load_queries("hyperferry.catalog", "statements.sql")["extension_schema"])
    hidden = int(fetch_value(conn, query("hidden").format(view=sql.Identifier(schema, "pg_stat_statements"))))
    said = []
    if hidden:
        what = "statement is" if hidden == 1 else "statements are"
        said.append(
            f"pg_stat_statements: {hidden} {what} hidden from this role, of any table; costlier queries may be missing: {GRANT}"
        )
    said += [f"pg_stat_statements: {what} {times}; queries may be missing" for what, times in _dropped(conn, schema).items()]
    return tuple(said)


def _dropped(conn: Connection, schema: str) -> dict[str, object]:
    """What to tell where pg_stat_statements had no room for all statements: the rarest are dropped first."""
    if fetch_value(conn, query("info"), {"schema": schema}) is None:
        return {}
    row = fetch_one(conn, query("dropped").format(info=sql.Identifier(schema, "pg_stat_statements_info")))
    dropped, kept = row or (0, "")
    if not dropped:
        return {}
    return {"dropped for room": f"{dropped} times, the rarest first (pg_stat_statements.max = {kept})"}


_NOT_A_QUERY = frozenset(
    {"explain", "create", "alter", "drop", "copy", "analyze", "vacuum", "prepare", "declare", "refresh", "lock", "cluster"}
    | {"reindex", "comment", "grant", "revoke", "truncate", "begin", "set", "call", "do"}
)
_WRITES = frozenset({"insert", "update", "delete", "merge"})

_OWN = ("WITH bucket AS MATERIALIZED (",)
"""How those of our statements begin that read the table and have no `hyperferry` in them (catalog/scan.sql;
that of by_index.sql has one); the composed ones
that cut it into ranges call it `"schema"."table" AS s` (copy/batches.py)."""


def _application(text: str, table: TableName, *, writes: bool) -> bool:
    """Not a definition, not somebody's look at a plan, and none of our own."""
    words = " ".join(line for line in text.splitlines() if not line.lstrip().startswith("--")).lstrip()
    if words.startswith(_OWN) or (f"{table.quoted} AS s " in text and '"s".' in text):
        return False
    try:
        first = next((token for token in loud(text) if token.text != "("), None)
    except ValueError:
        return True  # it is listed, with that reason
    return first is not None and first.word not in _NOT_A_QUERY and (writes or first.word not in _WRITES)

