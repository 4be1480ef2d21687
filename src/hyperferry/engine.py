"""Runs rollouts: the library's door, and what every command calls. Functions take the DSN first; '' leaves it to libpq.

Each opens its own connections and closes them. What can go wrong comes out as `HyperferryError` with its exit code.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import psycopg

from . import catalog, db, gates, planner
from . import preflight as rules
from .advance import Progress, Ticker, advance, prove
from .apply import quarantine_size, requeue_quarantined
from .capture import follow_owner
from .claim import open_rollout as _open
from .claim import worker_of
from .claim import working as _working
from .closing import abort as abort
from .closing import finish as finish
from .compression import compression_of
from .cutover import (
    CutoverPreview,
    dropped,
    lock_statements,
    swap_statements,
)
from .cutover.runner import locked_tables
from .db.connection import Connection
from .errors import CaptureBroken, Conflict, Interrupted, Refused, SchemaChanged, Usage
from .ledger import controls, store
from .ledger.flow import flow_of
from .model.finding import Finding
from .model.inspection import Inspection
from .model.names import TableName
from .model.need import RightsReport
from .model.plan import Plan, Strategy
from .model.plan_options import PlanOptions
from .model.reading import Reading
from .model.report import StatusReport, SwapReport, VerifyReport
from .model.rollout import Control, Direction, Phase, Rollout
from .model.statement import Statement
from .model.throttle import limits_of
from .status import status_of
from .strategies import blue_green, in_place
from .strategies.monitor import Monitor
from .strategies.preview import preview as _preview
from .strategies.throttling import throttling
from .strategies.workers import Connect, keep_connected
from .swapping import refuse_changed_as_settled, settle, settled_late, swap
from .waiting import Appointment, Presence, keep, what_for
from .words import plural

DEFAULT_ROLE = "hyperferry"
"""The role that `rights` speaks of when a superuser asks."""
Say = Callable[[str], None]
Announce = Callable[[Reading], None]
ENDING_SECONDS = 60.0
"""How long `sync` waits for a `finish` or an `abort` beside it to come to its end, once capture is taken off."""
WAIT_RECONNECTS = 1000
"""So many losses of its connection, about an hour and a half at a time, a cutover outlasts that waits for its moment."""
LOOK_SECONDS = 5.0
"""How often `sync` looks for chunks that were dropped."""
RETRIED_AT_ONCE = 100
"""How many rows in quarantine `sync` tries again then."""


def _connector(dsn: str) -> Connect:
    return lambda purpose: db.connect(dsn, purpose=purpose)


def inspect(
    dsn: str,
    table: str,
    time_column: str,
    *,
    interval: str | None = None,
    scan: bool = True,
    announce: Announce = lambda reading: None,
) -> Inspection:
    """Everything known of the table; with `scan` of its rows too, by an index or by one pass over them: `announce` is told which,
    before it begins."""
    with db.connect(dsn, purpose="inspect") as conn:
        return catalog.inspect(conn, table, time_column, interval=interval, scan=scan, announce=announce)


def tables_of(dsn: str, *names: str) -> tuple[TableName | None, ...]:
    """The table that each name means in this database, read as SQL reads it; None for one that means none."""
    found: list[TableName | None] = []
    with db.connect(dsn, purpose="names") as conn:
        for name in names:
            try:
                found.append(catalog.resolve_table(conn, name)[1])
            except Usage:
                found.append(None)
    return tuple(found)


def rights(dsn: str, table: str | None = None, *, role: str | None = None) -> RightsReport:
    """What a role needs to run hyperferry, on the table where one is named, and what of it it has. Without `role`: the role
    that is connected, or, as a superuser need not ask, one named hyperferry."""
    with db.connect(dsn, purpose="roles") as conn:
        if role is None and catalog.rights_report(conn).role_superuser:
            role = DEFAULT_ROLE
        return catalog.rights_report(conn, role, catalog.resolve_table(conn, table) if table else None)


def preflight(
    dsn: str,
    table: str,
    time_column: str,
    *,
    options: PlanOptions,
    scan: bool = True,
    announce: Announce = lambda reading: None,
) -> tuple[Inspection, tuple[Finding, ...]]:
    """What stands in the way, and what will change for the application; without `scan` as the catalogs alone have it."""
    inspection = inspect(
        dsn, table, time_column, interval=options.chunk_interval, scan=scan, announce=announce
    )
    gates.check_given_up(inspection, options)
    return inspection, rules.run(inspection, gates.preflight_options(options))


def make_plan(dsn: str, table: str, time_column: str, options: PlanOptions) -> Plan:
    """Inspects, judges and decides."""
    inspection, findings = preflight(dsn, table, time_column, options=options)
    return planner.plan(inspection, findings, options)


def preview(plan: Plan) -> tuple[Statement, ...]:
    """Every statement of the plan, in order."""
    return _preview(plan)


def start(
    dsn: str,
    table: str | None,
    plan: Plan | None,
    *,
    force: bool = False,
    max_rows: int = in_place.DEFAULT_MAX_ROWS,
    accept: frozenset[str] = frozenset(),
    limits: Mapping[str, str] | None = None,
    set_limits: Mapping[str, str | None] | None = None,
    stop: threading.Event | None = None,
    progress: Progress = lambda report: None,
    say: Say = lambda text: None,
) -> StatusReport:
    """Prepare, copy, catch up, verify; ends with the rollout synced. Goes on where an earlier start was interrupted.

    `accept` is what in place changes for the application and may; else the cutover asks for it. `limits` hold for the throttle
    where the ledger has none; `set_limits` are put into the ledger first (see `throttle`).
    """
    _check_limits(limits, set_limits)
    gates.check_accept(accept)
    connect = _connector(dsn)
    monitor = Monitor(stop or threading.Event(), say)
    with connect("start") as conn:
        if plan is None and table is None:
            raise Usage(
                "Neither a table nor a plan was given.", remedy="name the table, or the file of a plan."
            )
        name = plan.table if plan is not None else catalog.resolve_table(conn, table or "")[1]
        rollout = store.open_rollout(conn, name)
        if rollout is None:
            if plan is None:
                _open(conn, table or "")
            assert plan is not None
            gates.check_plan(conn, plan)
            if plan.strategy is Strategy.IN_PLACE:
                gates.refuse_in_place(conn, plan, accept)
                rollout, rows = in_place.carry_out(
                    conn, plan, monitor, force=force, max_rows=max_rows, accept=accept
                )
                return replace(status_of(conn, rollout), rows_copied=rows)
            store.install(conn)
            rollout = store.create(conn, plan)
        elif plan is not None:
            gates.refuse_another_plan(rollout, plan)
        with _working(conn, rollout):
            rollout = store.get(conn, rollout.id)
            _set_limits(conn, rollout, set_limits)
            copying = rollout.phase in (Phase.PLANNED, Phase.PREPARED, Phase.COPYING)
            with throttling(connect, rollout, monitor, limits or {}, copying=copying):
                rollout = advance(conn, connect, rollout, monitor, progress)
        return status_of(conn, rollout)


def _check_limits(*given: Mapping[str, str | None] | None) -> None:
    """Raises Usage for a limit that is not understood."""
    for wishes in given:
        try:
            limits_of({name: text for name, text in (wishes or {}).items() if text is not None})
        except ValueError as error:
            raise Usage(f"A limit is not understood: {error}.", remedy="see docs/commands.md.") from None


def _set_limits(conn: Connection, rollout: Rollout, wishes: Mapping[str, str | None] | None) -> None:
    store.install(conn)  # a ledger made by an older hyperferry has no place for them
    if wishes:
        controls.set_limits(conn, rollout.id, wishes)
        store.event(conn, rollout.id, "limits", dict(wishes))


def _follow_owner(conn: Connection, rollout: Rollout, monitor: Monitor) -> None:
    """After ALTER TABLE ... OWNER TO new chunks could not be made until the new owner may name our functions."""
    owner = follow_owner(conn, flow_of(rollout, Direction.REVERSE))
    if owner is not None:
        store.event(conn, rollout.id, "owner", {"owner": owner})
        monitor.say(f"{rollout.table} belongs to {owner} now, who was given the right to put capture on new chunks")


def sync(
    dsn: str,
    table: str,
    *,
    limits: Mapping[str, str] | None = None,
    set_limits: Mapping[str, str | None] | None = None,
    stop: threading.Event | None = None,
    progress: Progress = lambda report: None,
    say: Say = lambda text: None,
    until_empty: bool = False,
) -> StatusReport:
    """Keeps applying changes in whichever direction the phase has, until stopped or (`until_empty`) the backlog was empty.

    `limits` and `set_limits` as for `start`.
    """
    _check_limits(limits, set_limits)
    monitor = Monitor(stop or threading.Event(), say)
    with db.connect(dsn, purpose="sync") as conn:
        rollout = _open(conn, table)
        if rollout.phase in (Phase.PLANNED, Phase.PREPARED, Phase.COPYING):
            raise Refused(
                f"The rollout of {rollout.table} is in phase {rollout.phase}: there is nothing to keep in step yet.",
                remedy="run `hyperferry start TABLE` until it is synced.",
            )
        _set_limits(conn, rollout, set_limits)
        gates.refuse_half_finished(conn, rollout)
        requeue_quarantined(conn, flow_of(rollout))
        with throttling(_connector(dsn), rollout, monitor, limits or {}, copying=False):
            rollout = _keep_in_step(conn, rollout, monitor, progress, until_empty)
        return status_of(conn, rollout)


def _keep_in_step(
    conn: Connection, rollout: Rollout, monitor: Monitor, progress: Progress, until_empty: bool
) -> Rollout:
    looked, retried = 0.0, time.monotonic()
    keep_in_step = blue_green.KeepInStep(conn, monitor)
    tick = Ticker(conn, rollout, progress)
    while not rollout.phase.ended:
        tick.rollout = rollout
        empty = False
        try:
            tick()
            if rollout.phase is Phase.CUT_OVER and time.monotonic() - looked > LOOK_SECONDS:
                dropped.look(conn, flow_of(rollout))
                _follow_owner(conn, rollout, monitor)
                looked = time.monotonic()
            if time.monotonic() - retried > LOOK_SECONDS:
                requeue_quarantined(conn, flow_of(rollout), most=RETRIED_AT_ONCE)
                retried = time.monotonic()
            monitor.wait_while_paused()
            begun = time.monotonic()
            empty = keep_in_step(rollout)
            monitor.rest_from_applying(time.monotonic() - begun)
        except Interrupted:
            break
        except (
            SchemaChanged,
            CaptureBroken,
            psycopg.errors.UndefinedTable,
            psycopg.errors.UndefinedFunction,
            psycopg.errors.InvalidSchemaName,
        ):
            if not _moved_on(conn, rollout, monitor):
                raise
            if monitor.stop.is_set():
                break
        if empty and until_empty:
            break
        if empty and monitor.stop.wait(0.5):
            break
        rollout = store.get(conn, rollout.id)
    return store.get(conn, rollout.id)


def _moved_on(conn: Connection, rollout: Rollout, monitor: Monitor) -> bool:
    """Whether the tables are not as they were because the rollout is in another phase by now: a swap between two looks, by which
    they changed places, or a `finish` or an `abort`, which take capture off before they come to their end. True as well where we
    were told to stop while somebody is at work. Raises Refused for a finish that was interrupted, Conflict for one that takes
    long."""
    until = time.monotonic() + ENDING_SECONDS
    while True:
        worker = worker_of(conn, rollout)
        if store.get(conn, rollout.id).phase is not rollout.phase:
            return True
        if worker is None:
            gates.refuse_half_finished(conn, rollout)
            return False
        if time.monotonic() > until:
            try:
                gates.refuse_half_finished(conn, rollout)
            except Refused:
                raise Conflict(
                    f"The rollout of {rollout.table} is being finished; there is nothing to keep in step any more.",
                    facts={"works on it": worker, "rollout": rollout.id},
                    remedy="wait until it has ended; `hyperferry status` tells.",
                ) from None
            return False
        if monitor.stop.wait(0.2):
            return True


def status(dsn: str, table: str | None = None) -> list[StatusReport]:
    """Where the newest rollout of the table, or of every table, stands."""
    with db.connect(dsn, purpose="status") as conn:
        name = catalog.resolve_table(conn, table)[1] if table else None
        return [_with_worker(conn, _with_chunks(conn, status_of(conn, r), r), r) for r in store.latest(conn, name)]


def _with_chunks(conn: Connection, report: StatusReport, rollout: Rollout) -> StatusReport:
    """Of what is compressed, each chunk by itself: too much to be asked for every second."""
    if report.compression is None:
        return report
    return replace(report, compression=compression_of(conn, flow_of(rollout), each=True))


def _with_worker(conn: Connection, report: StatusReport, rollout: Rollout) -> StatusReport:
    worker = worker_of(conn, rollout)
    return replace(report, worker=worker, waiting_for=what_for(conn, rollout, worker))


def _control(dsn: str, table: str, control: Control) -> StatusReport:
    with db.connect(dsn, purpose=control.value) as conn:
        rollout = store.set_control(conn, _open(conn, table), control)
        store.event(conn, rollout.id, "control", {"control": control.value})
        return replace(status_of(conn, rollout), worker=worker_of(conn, rollout))


def pause(dsn: str, table: str) -> StatusReport:
    """Has whoever works on the rollout stop after the batch in hand, until `resume`."""
    return _control(dsn, table, Control.PAUSE)


def resume(dsn: str, table: str) -> StatusReport:
    """Ends a pause."""
    return _control(dsn, table, Control.RUN)


def throttle(dsn: str, table: str, set_limits: Mapping[str, str | None]) -> StatusReport:
    """Sets limits of the rollout, by name as in `model.throttle.DEFAULTS`; None: as where nobody said anything.

    Whoever works on it follows within about a second.
    """
    _check_limits(set_limits)
    with db.connect(dsn, purpose="throttle limits") as conn:
        rollout = _open(conn, table)
        _set_limits(conn, rollout, set_limits)
        return replace(status_of(conn, rollout), worker=worker_of(conn, rollout))


def verify(
    dsn: str,
    table: str,
    *,
    repair: bool = False,
    by: str | None = None,
    limits: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
    say: Say = lambda text: None,
) -> VerifyReport:
    """Exact parity while writers run; `repair` puts what differs into the backlog and verifies again. `limits` as for `start`: of
    them `max_cores` alone counts."""
    _check_limits(limits)
    connect = _connector(dsn)
    monitor = Monitor(stop or threading.Event(), say, wishes=limits or {})
    with connect("verify") as conn:
        rollout = _open(conn, table)
        if rollout.phase in (Phase.PLANNED, Phase.PREPARED):
            raise Refused(
                f"The rollout of {rollout.table} is in phase {rollout.phase}: there is nothing to compare yet.",
                remedy="run `hyperferry start TABLE` first.",
            )
        gates.refuse_half_finished(conn, rollout)
        requeue_quarantined(conn, flow_of(rollout))
        return blue_green.prove(conn, connect, rollout, monitor, by=by, repair=repair)


def cutover_dry_run(
    dsn: str,
    table: str,
    *,
    accept: frozenset[str] = frozenset(),
    drop_inbound_fks: tuple[str, ...] = (),
    drop_from_publications: tuple[str, ...] = (),
) -> CutoverPreview:
    """What would be swapped, who would block it now, and why it would be refused."""
    gates.check_accept(accept)
    with db.connect(dsn, purpose="cutover") as conn:
        rollout = _open(conn, table)
        if rollout.hypertable_oid is None or rollout.phase is Phase.CUT_OVER:
            raise Refused(
                f"The rollout of {rollout.table} is in phase {rollout.phase}: there is no cutover to preview.",
                remedy="see `hyperferry status`.",
            )
        flow = flow_of(rollout, Direction.FORWARD)
        refusals = [
            f"{rule}: {why} (--accept {rule})" for rule, why in gates.refusals(conn, rollout, accept).items()
        ]
        gates.void_if_unseen(conn, rollout)
        refusals += [f"{found.rule}: {found.message}" for found in gates.blockers_now(conn, rollout)]
        refusals += gates.refused_by(
            partial(gates.refuse_unplanned, rollout.plan, drop_inbound_fks, drop_from_publications),
            partial(refuse_changed_as_settled, conn, rollout),
            partial(gates.refuse_missing_rights, conn, rollout),
        )
        if rollout.phase is not Phase.PLANNED and (quarantined := quarantine_size(conn, flow)):
            refusals.append(
                f"the hypertable cannot take the rows of {plural(quarantined, 'pair')} in quarantine (`hyperferry status "
                f"{rollout.table}` names them and why); mended, they are tried again by `hyperferry sync`, and by the cutover"
            )
        if rollout.phase not in (Phase.SYNCED, Phase.ROLLED_BACK):
            refusals.append(f"the rollout is in phase {rollout.phase}, not synced")
        return CutoverPreview(
            (*lock_statements(flow), *swap_statements(flow)),
            tuple(db.blockers_of(conn, locked_tables(flow))),
            tuple(refusals),
        )


def cutover(
    dsn: str,
    table: str,
    *,
    accept: frozenset[str] = frozenset(),
    attempts: int = 60,
    max_wait: float | None = None,
    appointment: Appointment | None = None,
    drop_inbound_fks: tuple[str, ...] = (),
    drop_from_publications: tuple[str, ...] = (),
    limits: Mapping[str, str] | None = None,
    pgbouncer: Sequence[str] = (),
    stop: threading.Event | None = None,
    progress: Progress = lambda report: None,
    say: Say = lambda text: None,
) -> SwapReport:
    """Swaps the hypertable in, in one short transaction, or leaves everything as it is.

    `appointment`: waits for it first, applying changes meanwhile, held to `limits` as `sync` is (the verification before the
    swap to `max_cores` alone). `max_wait`: seconds from then on after which it is given up.
    `pgbouncer`: admin consoles whose pools for this database are paused while the locks are taken.
    """
    gates.check_accept(accept)
    _check_limits(limits)
    connect = _connector(dsn)
    monitor = Monitor(stop or threading.Event(), say, wishes=limits or {})
    if drop_inbound_fks or drop_from_publications:
        with connect("cutover") as conn:
            gates.refuse_unplanned(_open(conn, table).plan, drop_inbound_fks, drop_from_publications)
    if appointment is not None:
        _wait(connect, table, accept, appointment, limits or {}, monitor, progress)
    monitor.give_up_after(max_wait)
    with connect("cutover") as conn:
        rollout = _open(conn, table)
        if rollout.phase is Phase.CUT_OVER:
            with _working(conn, rollout):
                return settled_late(conn, rollout, monitor, "the hypertable has the name already")
        with _working(conn, rollout):
            gates.refuse_cutover(conn, rollout, accept)
            store.event(conn, rollout.id, "accepted", {"accept": sorted(gates.named(conn, rollout, accept))})
            accepted = store.all_accepted(conn, rollout.id)
            return swap(
                conn,
                connect,
                rollout,
                monitor,
                attempts,
                gates.SNAPSHOTS in accepted,
                moves_accepted=bool({"all", store.MOVES} & (accept | accepted)),
                pgbouncer=pgbouncer,
            )


def _wait(
    connect: Connect,
    table: str,
    accept: frozenset[str],
    appointment: Appointment,
    limits: Mapping[str, str],
    monitor: Monitor,
    progress: Progress,
) -> None:
    """Waits in sync for the appointment. A lost connection is made anew, however often: the wait may be long."""
    presence = Presence()

    def once(conn: Connection) -> None:
        rollout = _open(conn, table)
        if rollout.phase is Phase.CUT_OVER:
            return
        with _working(conn, rollout):
            gates.refuse_cutover(conn, rollout, accept)
            settle(conn, rollout, monitor, late=True, keys=False)
            gates.refuse_changed(conn, rollout)
            gates.refuse_new_blockers(conn, rollout)
            monitor.say(f"waiting in sync for {appointment.text(rollout.table)}")
            store.install(conn)
            with throttling(connect, rollout, monitor, limits, copying=False):
                keep(
                    conn,
                    rollout,
                    appointment,
                    monitor,
                    prove=lambda: prove(conn, connect, rollout, monitor),
                    tick=Ticker(conn, rollout, progress),
                    again=presence.until is not None,
                    presence=presence,
                )

    keep_connected(lambda: connect("cutover"), once, monitor, also=Conflict, most=WAIT_RECONNECTS)


def cutover_now(dsn: str, table: str) -> StatusReport:
    """Lets a cutover go that waits for its time or for a word. Raises Refused where none waits."""
    with db.connect(dsn, purpose="cutover now") as conn:
        rollout = _open(conn, table)
        worker = worker_of(conn, rollout)
        if what_for(conn, rollout, worker) is None:
            raise Refused(
                f"No cutover of {rollout.table} is waiting.",
                facts={"works on it": worker or "nobody"},
                remedy="`hyperferry cutover TABLE` does it; with --postpone or --at it waits first.",
            )
        store.event(conn, rollout.id, "go")
        return replace(status_of(conn, rollout), worker=worker)


def rollback(
    dsn: str,
    table: str,
    *,
    unverified: bool = False,
    accept: frozenset[str] = frozenset(),
    attempts: int = 60,
    max_wait: float | None = None,
    limits: Mapping[str, str] | None = None,
    pgbouncer: Sequence[str] = (),
    stop: threading.Event | None = None,
    say: Say = lambda text: None,
) -> SwapReport:
    """Swaps the plain table back in, with every write made since the cutover. Given up after `max_wait` seconds. `limits` as for
    `verify`.

    Refused without a clean verification, unless `unverified`; and where rows of dropped chunks would come back,
    unless `accept` names `dropped-ranges`. Sessions with an older snapshot are waited for, unless it names
    `snapshot-transactions`, or that was accepted for this rollout before: then they are told.
    """
    if unknown := accept - gates.AT_ROLLBACK:
        raise Usage(
            f"There is nothing called {', '.join(sorted(unknown))} to accept at a rollback.",
            remedy=f"these there are: {', '.join(sorted(gates.AT_ROLLBACK))}.",
        )
    _check_limits(limits)
    connect = _connector(dsn)
    monitor = Monitor(stop or threading.Event(), say, wishes=limits or {})
    monitor.give_up_after(max_wait)
    with connect("rollback") as conn:
        rollout = _open(conn, table)
        if rollout.phase is Phase.ROLLED_BACK:
            with _working(conn, rollout):
                return settled_late(conn, rollout, monitor, "the plain table has the name already")
        if rollout.phase is not Phase.CUT_OVER:
            raise Refused(
                f"The rollout of {rollout.table} is in phase {rollout.phase}: there is nothing to roll back.",
                remedy="before the cutover, `hyperferry abort` leaves the table as it was found.",
            )
        with _working(conn, rollout):
            gates.refuse_half_finished(conn, rollout)
            _follow_owner(conn, rollout, monitor)
            store.event(conn, rollout.id, "rollback", {"unverified": unverified, "accept": sorted(accept)})
            accepted = gates.SNAPSHOTS in accept | store.all_accepted(conn, rollout.id)
            if accepted:
                gates.tell_older_snapshots(conn, monitor.say)
            return swap(
                conn,
                connect,
                rollout,
                monitor,
                attempts,
                accepted,
                unverified=unverified,
                dropped_accepted=dropped.RULE in accept,
                pgbouncer=pgbouncer,
            )
