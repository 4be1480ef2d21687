"""The fingerprint: a digest of all that must not change between a plan, a verification and the swap (I5)."""

from __future__ import annotations

from psycopg import sql

from ..db import fetch_value, load_queries, patient_read
from ..db.connection import Connection


def fingerprint_expression(oid: int) -> sql.Composed:
    """A scalar subquery that gives the fingerprint of the table of that OID as 64 hex digits, NULL when it
    is gone.

    It can stand in any expression, in PL/pgSQL too: it takes no parameters and has neither `%` nor `$$` in
    it. The session must have the search_path that `db.connect` pins, as the definitions in it are printed
    under that.
    """
    return sql.SQL("({})").format(
        load_queries(__package__, "fingerprint.sql")["fingerprint"].format(oid=sql.Literal(oid))
    )


def fingerprint(conn: Connection, oid: int) -> str:
    """The fingerprint of the table of that OID, '' when it is gone. Raises LockUnavailable where somebody holds ACCESS EXCLUSIVE
    on what is looked at for long; within a transaction psycopg's own LockNotAvailable, at once."""
    statement = sql.SQL("SELECT {}").format(fingerprint_expression(oid))
    return patient_read(
        conn, "read the table's definition", [], lambda: str(fetch_value(conn, statement) or "")
    )
