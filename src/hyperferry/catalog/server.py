"""The server, the session's role, and what stands between us and them."""

from __future__ import annotations

import os

import psycopg
from psycopg import sql

from ..db import connect_beside, fetch_all, fetch_value, is_lost_connection, load_queries
from ..db.connection import Connection
from ..errors import ConnectionFailed, Refused
from ..model.inspection import IsolationDefault, Rights, ServerFacts
from .records import records


def server_facts(conn: Connection) -> ServerFacts:
    """Versions, edition, settings, role."""
    queries = load_queries(__package__, "server.sql")
    row = records(conn, queries["server"])[0]
    cores = os.cpu_count() if fetch_value(conn, queries["here"]) else cores_by_file(conn)
    return ServerFacts(**row, transaction_pooled=transaction_pooled(conn), cores=cores)


def cores_by_file(conn: Connection) -> int | None:
    """The cores of the server's machine, or of the container that it runs in, as Linux tells them to a role that may read the
    server's files; None for anybody else."""
    queries = load_queries(__package__, "server.sql")
    if not fetch_value(conn, queries["reads_files"]):
        return None
    told = [_of_file(conn, queries[name]) for name in ("cores", "cores_of_container")]
    return min((number for number in told if number), default=None) if told[0] else None


def _of_file(conn: Connection, query: sql.SQL) -> int | None:
    try:
        with conn.transaction():
            number: int | None = fetch_value(conn, query)
            return number
    except psycopg.Error as error:
        if is_lost_connection(error):
            raise
        return None  # no such file: not Linux, no container, or a service whose superuser is none


def overloads(conn: Connection) -> tuple[str, ...]:
    """Functions of somebody else's that a call of TimescaleDB's could reach: made in its schema, under its name."""
    return tuple(row[0] for row in fetch_all(conn, load_queries(__package__, "server.sql")["overloads"]))


def refuse_overloads(conn: Connection) -> None:
    """Raises Refused where there are any: such a function would run in our name."""
    found = overloads(conn)
    if found:
        raise Refused(
            "Somebody made a function beside TimescaleDB's own create_hypertable, under its name.",
            facts={"functions": ", ".join(found)},
            remedy="drop them (DROP FUNCTION ...): hyperferry's call could reach them, and they would run in its name.",
        )


def rights(conn: Connection, oid: int) -> Rights:
    """What the session's role may do with the table."""
    return Rights(**records(conn, load_queries(__package__, "server.sql")["rights"], {"oid": oid})[0])


def isolation_defaults(conn: Connection) -> tuple[IsolationDefault, ...]:
    """Defaults above READ COMMITTED, by role and database."""
    rows = records(conn, load_queries(__package__, "server.sql")["isolation_defaults"])
    return tuple(IsolationDefault(**row) for row in rows)


def event_triggers(conn: Connection) -> tuple[str, ...]:
    """The names of enabled event triggers that belong to no extension."""
    return tuple(row[0] for row in fetch_all(conn, load_queries(__package__, "server.sql")["event_triggers"]))


def transaction_pooled(conn: Connection) -> bool:
    """Whether a pooler gives our statements to one server process and another.

    A pooler announces a process id of its own at the start, so where the announced one is the real one
    there is none. Else a second session takes a server process for a transaction: in transaction pooling it
    is the one that has just
    served us.
    """
    backend = load_queries(__package__, "server.sql")["backend"]
    if conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        return False
    first = fetch_value(conn, backend)
    if first == conn.info.backend_pid:
        return False
    if fetch_value(conn, backend) != first:
        return True
    try:
        second = connect_beside(conn, purpose="pooling probe")
    except ConnectionFailed:
        return False
    with second:
        fetch_value(conn, backend)
        with second.transaction():
            taken = fetch_value(second, backend)
            return bool(taken == first or fetch_value(conn, backend) != first)
