"""What belongs around a swap, in either direction: the gates before it, the proof, the pools; and what comes after its commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import psycopg

from . import catalog, db, gates, planner
from .advance import prove
from .apply import quarantine_size
from .cutover import Gate, dropped, run_swap, validate_foreign_keys
from .cutover.before import EXCUSED_UNDER_LOCK
from .cutover.gone import without_gone
from .db.connection import Connection, cancelled_when, without_password
from .db.pgbouncer import Pools
from .errors import (
    ConnectionFailed,
    Failed,
    HyperferryError,
    Interrupted,
    LockUnavailable,
    NotProved,
    NotSettled,
    Refused,
)
from .ledger import store
from .ledger.codec import dump_inspection, load_inspection
from .ledger.flow import flow_of
from .ledger.halfway import swap_to_settle
from .model.inspection import Inspection
from .model.report import SwapReport
from .model.rollout import Direction, Phase, Rollout
from .strategies import blue_green
from .strategies.monitor import Monitor
from .strategies.workers import Connect
from .verify import excused_by_others

PROVED_AGAIN = 2
"""How often a proof that was voided during the attempts is made anew."""


def swap(
    conn: Connection,
    connect: Connect,
    rollout: Rollout,
    monitor: Monitor,
    attempts: int,
    snapshots_accepted: bool,
    *,
    unverified: bool = False,
    dropped_accepted: bool = False,
    moves_accepted: bool = False,
    pgbouncer: Sequence[str] = (),
) -> SwapReport:
    """Swaps in the direction that the phase has. A proof that somebody voids meanwhile (a TRUNCATE, say) is made anew, a bounded
    number of times; `attempts` are those of all together. `unverified`, `dropped_accepted`: of a rollback alone; `moves_accepted`
    of a cutover: that updates of the time across chunks fail afterwards (I9), whether or not any was seen yet."""
    settle(conn, rollout, monitor, late=True, keys=False)  # those keys go with the swap: nobody needs to know that they hold
    gates.refuse_changed(conn, rollout)
    gates.refuse_missing_rights(conn, rollout)
    gates.refuse_new_blockers(conn, rollout)
    port = int(db.fetch_value(conn, "SELECT setting FROM pg_settings WHERE name = 'port'"))
    flow, gone = without_gone(conn, flow_of(rollout))
    for line in gone:
        monitor.say(line)
    used, longest = 0, 0.0
    proof: int | None = None
    void: int | None = None
    for again in range(PROVED_AGAIN + 1):
        try:
            gate = _gate(
                conn, connect, rollout, monitor, snapshots_accepted, unverified, dropped_accepted, moves_accepted, void
            )
            proof = gate.verification
            with Pools(pgbouncer, conn.info.dbname, port) as pools:
                report = run_swap(
                    lambda: connect("swap"),
                    flow,
                    gate,
                    attempts=max(attempts - used, 1),
                    pools=pools,
                    should_stop=monitor.should_stop,
                    still_ours=partial(_still_ours, conn, rollout),
                    say=monitor.say,
                )
            break
        except NotProved as error:
            if again == PROVED_AGAIN:
                raise
            void = proof
            used, longest = used + error.attempts, max(longest, error.stall_ms)
            then = "going on without one" if unverified else "verifying again before the next attempt"
            monitor.say(f"the proof is void ({error.facts['server said']}): {then}")
    monitor.give_up_after(None)  # it is done: what comes after may take its time
    report = replace(report, attempts=used + report.attempts, stall_ms=max(longest, report.stall_ms))
    with _after_commit(report):
        settle(conn, store.get(conn, rollout.id), monitor)
    return report


def settled_late(conn: Connection, rollout: Rollout, monitor: Monitor, message: str) -> SwapReport:
    """For a swap that is done already: what may be missing of what comes after it. The report of an answer to be given again."""
    report = SwapReport(rollout.phase, 0, 0.0, 0, (message,), str(rollout.table))
    monitor.give_up_after(None)
    try:
        with _after_commit(report):
            settle(conn, rollout, monitor, late=True)
    except NotSettled as error:
        if isinstance(error.__cause__, Refused):  # it says itself what is to be done before
            raise error.__cause__ from None
        raise
    return report


@contextmanager
def _after_commit(report: SwapReport) -> Iterator[None]:
    """Whatever goes wrong behind a swap's commit is no failure of the swap: raises NotSettled with the report."""
    try:
        yield
    except (HyperferryError, psycopg.Error) as error:
        first = report.phase is Phase.CUT_OVER
        why = error.message if isinstance(error, HyperferryError) else str(error).strip()
        raise NotSettled(
            f"{report.table} is {'cut over' if first else 'rolled back'}; what comes after that was not done to its end.",
            report,
            facts={
                "in use": "the hypertable" if first else "the plain table",
                "not done": "noting what hangs on the table, and validating its foreign keys, which hold for new rows until then",
                "why": without_password(why),
                **(error.facts if isinstance(error, HyperferryError) else {}),
            },
            remedy=f"run the same command again: it does what is missing, and swaps nothing. {_remedy(error)}".strip(),
            exit_code=Interrupted.exit_code if isinstance(error, Interrupted) else Failed.exit_code,
        ) from error


def _remedy(error: Exception) -> str:
    """What a lock that was not to be had asks for, without its word that nothing was changed."""
    return "End or wait for the sessions named first." if isinstance(error, LockUnavailable) else ""


def _still_ours(conn: Connection, rollout: Rollout) -> None:
    """Raises ConnectionFailed where the session that claims the rollout is gone: an `abort` or a `finish` may be at work now."""
    try:
        db.fetch_value(conn, "SELECT 1")
    except psycopg.Error as error:
        raise ConnectionFailed(
            f"The session that claims the rollout of {rollout.table} was lost; nothing was swapped.",
            facts={"rollout": rollout.id, "server said": without_password(str(error).strip())},
            remedy="run the same command again.",
        ) from error


def _gate(
    conn: Connection,
    connect: Connect,
    rollout: Rollout,
    monitor: Monitor,
    snapshots_accepted: bool,
    unverified: bool,
    dropped_accepted: bool,
    moves_accepted: bool,
    void: int | None,
) -> Gate:
    """What allows the swap as things are now; proved anew where no verification counts, nor the one that was found `void` under
    the locks, unless `unverified`. Raises NotProved where that proof was voided while it was made, SchemaChanged where the table
    is no longer what the plan knows, whose statements the swap executes."""
    flow = flow_of(rollout)
    if quarantine_size(conn, flow):
        blue_green.catch_up(conn, rollout, monitor, at_once=True)  # what stood in the way of those rows may be gone by now
    verification = gates.valid_verification(conn, rollout)
    if verification is not None and excused_by_others(conn, flow, verification.id) > EXCUSED_UNDER_LOCK:
        monitor.say("a verification that was interrupted left too much to be looked at under the locks")
        verification = None
    if verification is not None and verification.id == void:  # for what the ledger does not tell: an excused pair that differs
        verification = None
    if verification is not None and flow.direction is Direction.REVERSE:
        monitor.say(
            f"going back by the proof of {verification.ended_at:%Y-%m-%d %H:%M:%S %z}; what sessions under "
            "session_replication_role = replica wrote since, no trigger on a hypertable sees: `hyperferry verify` proves that too"
        )
    if verification is None and not unverified:
        blue_green.catch_up(conn, rollout, monitor, at_once=True)
        prove(conn, connect, rollout, monitor)
        verification = gates.valid_verification(conn, rollout)
    # After the catching up and the proof, which may take long: what was added meanwhile would be left behind by the swap.
    fingerprint = gates.refuse_changed(conn, rollout)
    if verification is not None and verification.fingerprint != fingerprint:
        verification = None
    if verification is None and not unverified:
        raise NotProved(
            "Nothing is swapped unproved.",
            facts={"rollout": rollout.id, "server said": "the verification was voided while it was made"},
            remedy="run `hyperferry verify`, then try again.",
        )
    noted: str | None = None
    if flow.direction is Direction.FORWARD:
        dropped.begin(conn, flow)
    elif not dropped_accepted:
        noted = gates.refuse_dropped(conn, flow)
    return Gate(
        verification=verification.id if verification else None,
        fingerprint=fingerprint,
        excused=verification is not None,
        snapshots_accepted=snapshots_accepted,
        dropped_accepted=dropped_accepted,
        moves_accepted=moves_accepted,
        noted=noted,
    )


def settle(conn: Connection, rollout: Rollout, monitor: Monitor, *, late: bool = False, keys: bool = True) -> None:
    """What comes after a swap's commit: what hangs on the table noted, foreign keys validated (not without `keys`: before the
    next swap, which drops them). Does nothing where it was done.

    It is noted first, so that what others add while keys are validated is told by the next swap as what it is. `late`: for a
    swap that was interrupted before. Raises SchemaChanged where something was added between that and now.
    """
    detail = swap_to_settle(conn, rollout)
    if detail is None:
        return
    changed: tuple[str, ...] = ()
    if "inspection" in detail:
        noted = load_inspection(detail["inspection"])
    else:
        noted = _inspect(conn, rollout)
        if late:
            gates.refuse_changed_by_others(rollout, noted)
        changed = gates.changed_by_others(rollout, noted)
        if changed:  # it waited behind the swap's locks; not noted, so that the next swap refuses it
            monitor.say("changed by others as soon as the swap was done, and not so on the other table: " + "; ".join(changed))
        else:
            _note(conn, rollout, noted, settled=False)
    if not keys:
        return
    with _ended_by_stop(conn, monitor):
        validate_foreign_keys(conn, flow_of(rollout), say=monitor.say, should_stop=monitor.should_stop)
    if changed:
        return
    now = _inspect(conn, rollout)
    # Where others changed something meanwhile, what was noted stays: the next swap tells them.
    others = planner.changes_between(planner.without_validity(noted), planner.without_validity(now))
    _note(conn, rollout, noted if others else now, settled=True)


@contextmanager
def _ended_by_stop(conn: Connection, monitor: Monitor) -> Iterator[None]:
    """A statement that looks at every row is not waited for once somebody asked to stop. Raises Interrupted."""
    try:
        with cancelled_when(conn, monitor.stop):
            yield
    except psycopg.errors.QueryCanceled:
        monitor.should_stop()
        raise


def refuse_changed_as_settled(conn: Connection, rollout: Rollout) -> None:
    """What `settle` and `gates.refuse_changed` would refuse before the next swap, and nothing noted: for a preview."""
    if swap_to_settle(conn, rollout) == {}:
        gates.refuse_changed_by_others(rollout, _inspect(conn, rollout))
    else:
        gates.refuse_changed(conn, rollout)


def _inspect(conn: Connection, rollout: Rollout) -> Inspection:
    return catalog.inspect(conn, rollout.table.quoted, rollout.plan.time_column, scan=False)


def _note(conn: Connection, rollout: Rollout, inspection: Inspection, *, settled: bool) -> None:
    detail = {"fingerprint": inspection.fingerprint, "inspection": dump_inspection(inspection), "settled": settled}
    store.event(conn, rollout.id, "fingerprint", detail)
