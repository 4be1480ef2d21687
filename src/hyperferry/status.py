"""Where a rollout stands, read from the ledger."""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from .apply import quarantine_size
from .catalog.horizon import oldest_holder, our_oldest
from .compression import compression_of
from .copy.copier import progress
from .cutover import dropped
from .db import fetch_all, fetch_value, patient_read
from .db.connection import Connection
from .ledger import controls, objects, store
from .ledger.flow import Flow, flow_of
from .ledger.halfway import half_finished, unsettled
from .model.report import QuarantinedPair, StatusReport, ThrottleReport
from .model.rollout import Control, Phase, Rollout
from .model.throttle import DEFAULTS

BACKLOG_COUNTED = 5_000_000


def _backlog(conn: Connection, flow: Flow) -> int:
    """Exact up to BACKLOG_COUNTED."""
    return int(
        fetch_value(
            conn,
            sql.SQL("SELECT pg_catalog.count(*) FROM (SELECT 1 FROM {} LIMIT {}) AS l").format(
                flow.log, sql.Literal(BACKLOG_COUNTED)
            ),
        )
    )


def _quarantined(conn: Connection, flow: Flow) -> tuple[QuarantinedPair, ...]:
    rows = fetch_all(
        conn,
        sql.SQL(
            "SELECT {}, q.reason, q.since FROM {} AS q WHERE q.direction = {} ORDER BY q.since LIMIT 100"
        ).format(flow.pairs.as_json("q"), flow.of_ledger("quarantine"), sql.Literal(flow.direction.value)),
    )
    return tuple(QuarantinedPair(row[0], row[1], row[2]) for row in rows)


def _throttle(conn: Connection, rollout: Rollout) -> ThrottleReport:
    """What whoever works on the rollout last decided; where nobody does, the limits alone."""
    noted = controls.state(conn, rollout.id)
    if noted is None:
        return ThrottleReport(limits={**DEFAULTS, **controls.limits(conn, rollout.id)})
    state, at = noted
    return ThrottleReport(
        state=state["state"],
        pace=state["pace"],
        rate=state["rate"],
        reasons=tuple(reason["text"] for reason in state["reasons"]),
        limits={**state["limits"], **controls.limits(conn, rollout.id)},  # set a moment ago, perhaps
        seen=state["seen"],
        blind=tuple(state["blind"]),
        at=at,
    )


def _throttled_by(rollout: Rollout, throttle: ThrottleReport) -> str | None:
    if rollout.phase.ended:
        return None
    if rollout.control is Control.PAUSE:
        return "paused"
    return "; ".join(throttle.reasons) or None


def eta_seconds(left: int, rows_per_second: float | None, throttle: ThrottleReport) -> float | None:
    """Seconds until the copy is done: unknown while it is stopped; a rate given by hand bounds the speed that was measured."""
    if not rows_per_second or throttle.state == "stopped":
        return None
    speed = rows_per_second if throttle.rate is None else min(rows_per_second, throttle.rate)
    return left / speed


def status_of(conn: Connection, rollout: Rollout) -> StatusReport:
    """The rollout's status, asked for again while somebody holds what it is read from (a part of the change log that is being
    emptied, say). Raises LockUnavailable where that does not end."""
    return patient_read(
        conn,
        f"read how the rollout of {rollout.table} stands",
        objects.table_names(rollout),
        lambda: status_now(conn, rollout),
    )


def status_now(conn: Connection, rollout: Rollout) -> StatusReport:
    """The rollout's status now. Cheap enough to be asked for every second. Raises psycopg's errors, of locks too."""
    rollout = store.get(conn, rollout.id)
    names, phase = rollout.names, rollout.phase
    estimated = max(rollout.plan.inspection.table.estimated_rows, 0)
    if rollout.plan.inspection.scan is not None:
        estimated = rollout.plan.inspection.scan.rows
    throttle = ThrottleReport() if phase.ended else _throttle(conn, rollout)
    kinds = ["phase", "quarantined", "truncated", "swap", "dropped", "owner", "finishing"]
    last = store.last_events(conn, rollout.id, kinds)
    report = StatusReport(
        rollout=rollout.id,
        phase=phase,
        strategy=rollout.strategy,
        rows_copied=0,
        rows_estimated=estimated,
        batches_done=0,
        batches_total=0,
        backlog=0,
        rows_per_second=None,
        eta_seconds=None,
        throttled_by=_throttled_by(rollout, throttle),
        worker=None,
        last_event=f"{last[0][0]:%Y-%m-%d %H:%M:%S} {last[0][1]} {last[0][2]}" if last else None,
        table=str(rollout.table),
        source=str(names.old if phase is Phase.CUT_OVER else rollout.table),
        shadow=str(rollout.table if phase.hypertable_serves else names.shadow),
        throttle=throttle,
        finishing=half_finished(conn, rollout),
        unsettled=unsettled(conn, rollout),
    )
    if phase.ended:
        copied = store.last_events(conn, rollout.id, ["copied", "in place"])
        return replace(report, rows_copied=int(copied[0][2]["rows"])) if copied else report
    if rollout.hypertable_oid is None or phase is Phase.PLANNED:
        return report
    return _with_figures(conn, rollout, report)


def _with_figures(conn: Connection, rollout: Rollout, report: StatusReport) -> StatusReport:
    flow = flow_of(rollout)
    batches = progress(conn, flow)
    rate = batches.rows_per_second
    left = max(report.rows_estimated - batches.rows, 0)
    copying = rollout.phase is Phase.COPYING and batches.done < batches.total
    paused = rollout.control is Control.PAUSE
    eta = None if paused else eta_seconds(left, rate, report.throttle)
    own = our_oldest(conn)
    verification = store.last_verification(conn, rollout.id, flow.direction.value)
    return replace(
        report,
        rows_copied=batches.rows,
        batches_done=batches.done,
        batches_total=batches.total,
        backlog=_backlog(conn, flow),
        rows_per_second=rate,
        eta_seconds=eta if copying else (0.0 if batches.total else None),
        quarantined=_quarantined(conn, flow),
        quarantined_count=quarantine_size(conn, flow),
        verified_at=verification.ended_at if verification else None,
        verified_match=verification.match if verification else None,
        dropped_ranges=dropped.texts(dropped.of_rollout(conn, rollout)),
        log_bytes=objects.log_bytes(conn, flow),
        our_oldest_transaction=own[0] if own else None,
        our_oldest_seconds=own[1] if own else None,
        xmin_holder=oldest_holder(conn),
        compression=compression_of(conn, flow),
    )
