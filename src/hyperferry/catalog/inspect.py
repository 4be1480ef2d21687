"""The one door: everything that the catalogs and the rows say about a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from ..db import patient_read
from ..db.connection import Connection
from ..errors import Failed
from ..model.inspection import Inspection
from ..model.reading import Reading
from .activity import activity, replication
from .dependents import dependents
from .fingerprint import fingerprint
from .needs import rights_report
from .resolve import resolve_table
from .scan import scan as scan_rows
from .server import event_triggers, isolation_defaults, overloads, rights, server_facts
from .statements import statement_facts
from .structure import constraints, extended_statistics, inbound_keys, indexes, policies, rules, triggers
from .table import columns, hypertables, odd_parts, security_labels, sequences, table_facts

ATTEMPTS = 5


def inspect(
    conn: Connection,
    table_text: str,
    time_column: str,
    *,
    interval: str | None = None,
    scan: bool = True,
    announce: Callable[[Reading], None] = lambda reading: None,
) -> Inspection:
    """Everything known of one table. `time_column` is an exact name; where the table has none of that name,
    or one of no time type, the inspection is made all the same, without a scan.

    `interval` is the chunk interval by which the scan counts buckets; `announce` is told before the scan in
    which way it reads. The catalogs are read statement by
    statement without a lock; that they are of one state is shown by the fingerprint, which is the same
    before and after, or it is read
    again. Raises Usage for a table that is not there or an interval that the column cannot have, Failed
    when the table does not stop
    changing.
    """
    oid, name = resolve_table(conn, table_text)
    for _ in range(ATTEMPTS):
        before = fingerprint(conn, oid)
        if before:
            inspection = patient_read(
                conn, f"read {name}", [name], partial(_read, conn, oid, time_column, before)
            )
            if fingerprint(conn, oid) == before:
                break
        oid, name = resolve_table(conn, table_text)
    else:
        raise Failed(
            f"The definition of {name} kept changing while it was read.",
            facts={"attempts": ATTEMPTS},
            remedy="wait until the migration that alters it is done, then run the same command again.",
        )
    if not scan or inspection.time is None:
        return inspection
    return replace(inspection, scan=scan_rows(conn, inspection.table, inspection.time, interval, announce))


def _read(conn: Connection, oid: int, time_column: str, mark: str) -> Inspection:
    server = server_facts(conn)
    table = table_facts(conn, oid, server)
    cut = hypertables(conn, server)
    return Inspection(
        server=server,
        table=table,
        rights=rights(conn, oid),
        columns=columns(conn, oid),
        indexes=indexes(conn, oid),
        constraints=constraints(conn, oid, cut),
        inbound_keys=inbound_keys(conn, oid, cut),
        triggers=triggers(conn, oid),
        policies=policies(conn, oid),
        rules=rules(conn, oid),
        dependents=dependents(conn, oid),
        sequences=sequences(conn, oid),
        extended_statistics=extended_statistics(conn, oid),
        security_labels=security_labels(conn, oid),
        replication=replication(conn, oid),
        isolation_defaults=isolation_defaults(conn),
        statements=statement_facts(conn, table.name, time_column),
        activity=activity(conn, table),
        time_column=time_column,
        scan=None,
        fingerprint=mark,
        taken_at=datetime.now(UTC),
        event_triggers=event_triggers(conn),
        overloads=overloads(conn),
        needs=rights_report(conn, table=(oid, table.name)),
        odd_parts=odd_parts(conn, oid),
    )
