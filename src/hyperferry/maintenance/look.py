"""A hypertable looked at: its facts gathered, and judged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import psycopg

from .. import catalog, health
from ..catalog.health import health_facts
from ..claim import worker_of
from ..db import connect, fetch_value, patient_read
from ..db.connection import Connection
from ..errors import Refused
from ..ledger import store
from ..model.health import HealthFacts, HealthReport, RolloutFacts
from ..model.names import TableName
from ..model.rollout import Rollout
from ..status import status_of
from .exact import exact_bloat

Say = Callable[[str], None]


@dataclass(frozen=True)
class LookOptions:
    """`exact`: bloat is measured by pgstattuple instead of estimated."""

    dsn: str
    table: str
    exact: bool = False


def look(options: LookOptions, say: Say, stop: threading.Event) -> HealthReport:
    """The findings on a hypertable, or on the one that the table's open rollout builds. Raises Usage, Refused, Interrupted."""
    with connect(options.dsn, purpose="health") as conn:
        table, facts = gather(conn, options.table)
        if options.exact:
            facts = replace(facts, exact=exact_bloat(conn, facts, say, stop))
    return HealthReport(str(table), health.run(facts), health.figures(facts), str(facts.table))


def gather(conn: Connection, text: str) -> tuple[TableName, HealthFacts]:
    """The table that was named, and the facts of the hypertable that it is or becomes. Raises Usage, Refused."""
    oid, table = catalog.resolve_table(conn, text)
    latest, hidden = _latest(conn, table)
    rollout = None if latest is None or latest.phase.ended else latest
    name = table
    if rollout is not None and rollout.hypertable_oid is not None and not rollout.phase.hypertable_serves:
        oid, name = rollout.hypertable_oid, rollout.names.shadow
    facts = patient_read(conn, f"look at {name}", [name], partial(health_facts, conn, oid, name))
    known = None if rollout is None or rollout.phase.ended else _facts_of(conn, rollout)
    serves = None
    if latest is not None and latest.phase.hypertable_serves:
        serves = latest.updated_at.timestamp()
    return table, replace(facts, rollout=known, serves_since=serves, hidden=(*facts.hidden, *hidden))


def _latest(conn: Connection, table: TableName) -> tuple[Rollout | None, tuple[str, ...]]:
    """The newest rollout of the table; what could not be seen."""
    try:
        return next(iter(store.latest(conn, table)), None), ()
    except psycopg.errors.InsufficientPrivilege:
        return None, ("whether a rollout is open: this role may not read hyperferry's ledger",)
    except Refused as error:  # of another owner, whose tables are not to be trusted
        return None, (f"whether a rollout is open: {error.message[0].lower()}{error.message[1:].removesuffix('.')}",)


def _facts_of(conn: Connection, rollout: Rollout) -> RolloutFacts:
    report = status_of(conn, rollout)
    now = fetch_value(conn, "SELECT clock_timestamp()")
    old = None
    if rollout.phase.hypertable_serves:
        old = fetch_value(conn, "SELECT pg_total_relation_size(to_regclass(%s))", [rollout.names.old.quoted])
    return RolloutFacts(
        rollout.phase.value,
        (now - rollout.updated_at).total_seconds(),
        report.backlog,
        report.log_bytes,
        worker_of(conn, rollout),
        report.source,
        old,
        None if report.verified_at is None else (now - report.verified_at).total_seconds(),
        report.verified_match,
    )
