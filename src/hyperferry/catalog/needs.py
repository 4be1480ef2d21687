"""The rights that a rollout needs, looked up one by one."""

from __future__ import annotations

from ..db import fetch_value, load_queries
from ..db.connection import Connection
from ..model.names import TableName
from ..model.need import Holder, Need, RightsReport
from .records import records

_FILE = "needs.sql"


def rights_report(
    conn: Connection, role: str | None = None, table: tuple[int, TableName] | None = None
) -> RightsReport:
    """What the role (None: the session's) needs, in general and for the table, and what of it it has."""
    queries = load_queries(__package__, _FILE)
    name = role if role is not None else str(fetch_value(conn, "SELECT current_user::text"))
    params: dict[str, object] = {"role": name}
    rows = records(conn, queries["general"], params)
    owner: str | None = None
    if table is not None:
        params["oid"] = table[0]
        rows += records(conn, queries["of_table"], params)
        owner = fetch_value(conn, queries["owner"], params)
    needs = tuple(Need(**{**row, "holder": Holder(row["holder"])}) for row in rows)
    return RightsReport(
        role=name,
        table=table[1].quoted if table else None,
        owner=owner,
        needs=tuple(dict.fromkeys(needs)),
        **records(conn, queries["role"], params)[0],
    )
