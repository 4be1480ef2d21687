"""What `advise` is asked about: whether there is such a table and time, whether the role may read it, which columns are meant."""

from __future__ import annotations

import re

from ..db import fetch_one, fetch_value, load_queries
from ..db.connection import Connection
from ..errors import Refused, Usage
from ..model.inspection import Column, Inspection
from ..model.names import quoted_if_needed
from .buckets import TIME_TYPES
from .resolve import resolve_table

ARRIVED = re.compile(
    r"^_?(created|inserted|ingested|received|arrived|recorded|loaded|stored)(_?(at|on|time|ts|date))?$", re.I
)
TOUCHED = re.compile(
    r"^_?((last_?)?(updated|modified|changed|edited)|last_?(update|change))(_?(at|on|time|ts|date))?$", re.I
)
_MOMENTS = frozenset({"pg_catalog.timestamp", "pg_catalog.timestamptz"})
KINDS = ("table", "hypertable")


def time_column_of(conn: Connection, table: str, given: str | None) -> str:
    """The time column: the hypertable's own, else the one given. Raises Usage."""
    _, name = resolve_table(conn, table)
    queries = load_queries(__package__, "distribution.sql")
    if fetch_value(conn, queries["cut"]):
        row = fetch_one(
            conn,
            queries["dimension"],
            {"schema": name.schema, "name": name.name},
        )
        if row is not None:
            if given is not None and given != row[0]:
                raise Usage(
                    f"{name} is a hypertable that is cut by {quoted_if_needed(str(row[0]))}, not by {quoted_if_needed(given)}.",
                    facts={"table": name, "its time": row[0], "given": given},
                    remedy="leave --time out.",
                )
            return str(row[0])
    if given is None:
        raise Usage(
            "No time column was named.",
            facts={"table": name},
            remedy="give --time COLUMN (a timestamptz, timestamp, date or integer column), or `time_column` in hyperferry.toml.",
        )
    return given


def checked(inspection: Inspection) -> Column:
    """The time column, where advice can be given. Raises Usage, Refused."""
    table, time = inspection.table, inspection.time
    if table.kind not in KINDS:
        raise Usage(
            f"{table.name} is a {table.kind}, and advice is for tables and hypertables.",
            facts={"table": table.name, "kind": table.kind},
            remedy="name the hypertable that the chunk is of."
            if table.kind == "chunk"
            else "name the table itself.",
        )
    if time is None:
        known = [each.name for each in inspection.columns if each.base_type in TIME_TYPES]
        raise Usage(
            f"{table.name} has no column {quoted_if_needed(inspection.time_column)}.",
            facts={"columns that can be a time": ", ".join(map(quoted_if_needed, known)) or "none"},
            remedy="give one of them with --time.",
        )
    if time.base_type not in TIME_TYPES:
        raise Usage(
            f"The column {quoted_if_needed(time.name)} is of type {time.type_sql}, which no hypertable can be cut by.",
            facts={"table": table.name, "column": time.name, "type": time.type_sql},
            remedy="give a timestamptz, timestamp, date, integer or UUIDv7 column with --time.",
        )
    if not inspection.rights.select:
        raise no_right(inspection, "no SELECT")
    if inspection.rights.row_security_active:
        raise no_right(inspection, "row security hides rows from this role")
    return time


def no_right(inspection: Inspection, why: str) -> Refused:
    """The error for a role that may not read (all of) the table."""
    return Refused(
        f"The role {inspection.server.role} may not read {inspection.table.name}.",
        facts={"role": inspection.server.role, "table": inspection.table.name, "reason": why},
        remedy=f"run it as the owner ({inspection.table.owner}), or GRANT SELECT ON {inspection.table.name.quoted} TO the role.",
    )


def named(inspection: Inspection, given: str | None, pattern: re.Pattern[str], option: str) -> Column | None:
    """The moment's column of that name, or without one the first of a usual name; None where there is none. Raises Usage."""
    moments = [
        each
        for each in inspection.columns
        if each.base_type in _MOMENTS and each.name != inspection.time_column
    ]
    if given is None:
        return next((each for each in moments if pattern.fullmatch(each.name)), None)
    found = next((each for each in moments if each.name == given), None)
    if found is None:
        raise Usage(
            f"{option} {given!r} is no timestamp or timestamptz column of {inspection.table.name}.",
            facts={"such columns": ", ".join(quoted_if_needed(each.name) for each in moments) or "none"},
            remedy=f"name one of them, or leave {option} out.",
        )
    return found
