"""What capture does not see and the fingerprint leaves out, as the catalogs tell it: rewrites of tables, and ways in for rows.

A proof counts while nothing of it happens (I5). Conditions are expressions, for use in a DO block as well.
"""

from __future__ import annotations

from psycopg import sql

from ..db import fetch_value, load_queries
from ..db.connection import Connection
from .flow import Flow


def _expression(name: str, **values: sql.Composable) -> sql.Composed:
    return load_queries(__package__, "unseen.sql")[name].format(**values)


def tables(flow: Flow) -> sql.Composed:
    """A text that is another one once the plain table was written anew, or the type of a column of either table was changed: both
    may change every row while no trigger fires, and end with a definition that is what it was."""
    plain, hypertable = sorted((flow.active, flow.passive), key=lambda side: side.hypertable)
    return _expression("tables", plain=sql.Literal(plain.oid), hypertable=sql.Literal(hypertable.oid))


def ways_in(flow: Flow) -> list[tuple[sql.Composed, str]]:
    """Conditions under which rows come into the active table that no trigger of ours sees, with what to say of each."""
    oid, name = sql.Literal(flow.active.oid), flow.active.name
    found = [(_expression("subscription", oid=oid), f"a subscription writes into {name}, which is not captured")]
    if not flow.active.hypertable:
        child = f"{name} has got a child table, whose rows are seen through it and would be left behind"
        found.insert(0, (_expression("child", oid=oid), child))
    return found


def way_in(conn: Connection, flow: Flow) -> str | None:
    """The first of them that is so now, in words."""
    cases = sql.SQL(" ").join(
        sql.SQL("WHEN {} THEN {}").format(condition, sql.Literal(text)) for condition, text in ways_in(flow)
    )
    found = fetch_value(conn, sql.SQL("SELECT CASE {} END").format(cases))
    return None if found is None else str(found)
