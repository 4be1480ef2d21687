"""What changes from minute to minute: transactions, disk, leftovers; and who replicates the table."""

from __future__ import annotations

import shutil

import psycopg

from ..db import fetch_all, fetch_one, fetch_value, load_queries
from ..db.connection import Connection
from ..model.inspection import Activity, Membership, ReplicationFacts, TableFacts, TransactionNow
from .records import records

_FILE = "activity.sql"


def activity(conn: Connection, table: TableFacts) -> Activity:
    """The state of this minute. What the role may not see is left out and said so."""
    queries = load_queries(__package__, _FILE)
    oid = {"oid": table.oid}
    leftovers, phase = _leftovers(conn, table)
    return Activity(
        transactions=tuple(
            TransactionNow(**row)
            for row in records(conn, queries["transactions"], oid) + records(conn, queries["prepared"], oid)
        ),
        free_disk_bytes=_free_disk(conn, table),
        leftovers=leftovers,
        open_rollout=phase,
        foreign_ledger=fetch_value(conn, queries["foreign_ledger"]),
        transactions_visible=bool(fetch_value(conn, queries["visible"])),
    )


def _leftovers(conn: Connection, table: TableFacts) -> tuple[tuple[str, ...], str | None]:
    """Objects left by an earlier rollout of this table, and the phase of its open rollout.

    What belongs to an open rollout, of this table or another, is not left over.
    """
    queries = load_queries(__package__, _FILE)
    params = {"oid": table.oid, "schema": table.name.schema, "name": table.name.name}
    rollouts: list[tuple[int, str, bool]] = []
    if fetch_value(conn, queries["has_ledger"]):
        rollouts = [
            (int(r[0]), str(r[1]), bool(r[2])) for r in fetch_all(conn, queries["open_rollouts"], params)
        ]
    phase = next((phase for _, phase, ours in rollouts if ours), None)
    open_ids = {number for number, _, _ in rollouts}
    left = tuple(
        str(identity)
        for identity, number in fetch_all(conn, queries["leftovers"], params)
        if number not in open_ids and not (number is None and phase)
    )
    return left, phase


def _free_disk(conn: Connection, table: TableFacts) -> int | None:
    """Free bytes where the table's files are: known only on the server's own machine, through a Unix
    socket."""
    try:
        row = fetch_one(conn, load_queries(__package__, _FILE)["data_directory"], {"oid": table.oid})
    except psycopg.errors.InsufficientPrivilege:
        return None
    if row is None or not row[1]:
        return None
    try:
        return shutil.disk_usage(row[0]).free
    except OSError:
        return None


def replication(conn: Connection, oid: int) -> ReplicationFacts:
    """Publications, subscriptions, replicas and slots."""
    queries = load_queries(__package__, _FILE)

    def names(query: str) -> tuple[str, ...]:
        params = None if query == "all_tables_publications" else {"oid": oid}
        return tuple(row[0] for row in fetch_all(conn, queries[query], params))

    memberships = tuple(Membership(**row) for row in records(conn, queries["memberships"], {"oid": oid}))
    schemas = names("schema_publications")
    return ReplicationFacts(
        publications=tuple(sorted({*(member.name for member in memberships), *schemas})),
        memberships=memberships,
        schema_publications=schemas,
        all_tables_publications=names("all_tables_publications"),
        subscriptions=names("subscriptions"),
        other_replication=names("other_replication"),
        replicas=tuple((row[0], row[1]) for row in fetch_all(conn, queries["replicas"])),
        slots=tuple((row[0], row[1], row[2]) for row in fetch_all(conn, queries["slots"])),
    )
