"""Runs the swap: drains first, asks for the locks, yields, tries again, and knows after a lost connection whether it happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from ..apply import Applier, cold
from ..apply.places import Places, hypertable_of, places_of
from ..catalog import fingerprint
from ..db import (
    DATA_ERRORS,
    GONE_MS,
    Blocker,
    blocker_facts,
    blockers_of,
    deadlock_timeouts_ms,
    execute,
    fetch_value,
    further_locks,
    is_lost_connection,
    is_transient,
    keep_off_at_once,
    pause_seconds,
    snapshot_holders_of,
)
from ..db.connection import Connection, answered_within
from ..db.pgbouncer import PoolBusy, Pools
from ..errors import (
    CaptureBroken,
    Failed,
    LockUnavailable,
    NotInTime,
    NotProved,
    OutOfTime,
    Refused,
    SchemaChanged,
)
from ..ledger import store
from ..ledger.compressed import compressed_below
from ..ledger.flow import Flow
from ..model.names import TableName
from ..model.report import SwapReport
from ..model.rollout import Direction
from ..model.statement import Statement
from ..verify import excused_groups
from ..verify.pairwise import Group
from . import block, bound, hanging, inbound
from .before import (
    PATIENCE,
    drain,
    drain_again,
    older_snapshots,
    pause,
    planned_chunks,
    too_many_excused,
    without_autovacuum,
)
from .loss import after_loss, changes_recorded
from .order import PATIENT_FROM, first, further, order
from .swap import on_every_chunk, others, target_phase, wanted_locks

STATEMENT_TIMEOUT_MS = 5_000
"""How long the swap itself may take under the locks, at most, before the server ends it."""
FIRST_TIMEOUT_MS = 1_000
"""How long it may take at first: twice as long each time that it was too short."""
TOO_LONG = 2
"""So often the longest time there is may be too short: it would be again, and everybody waits for as long each time."""
IDLE_TIMEOUT_MS = GONE_MS
"""How long the server waits for the COMMIT, or for whatever else comes next from us."""
ANSWER_SECONDS = 2 * (STATEMENT_TIMEOUT_MS + IDLE_TIMEOUT_MS) / 1000
"""After so long the server has ended an attempt, whatever happened: an answer that has not come is lost."""


@dataclass(frozen=True)
class Gate:
    """What allows the swap: the verification that counts (None: overridden by name), the fingerprint it was made of, whether it
    excused pairs, and whether sessions with older snapshots, rows of dropped chunks coming back, and updates of the time across
    chunks were accepted. `noted`: where rows coming back were not, which dropped chunks were found to have none."""

    verification: int | None
    fingerprint: str
    excused: bool
    snapshots_accepted: bool
    dropped_accepted: bool = False
    moves_accepted: bool = False
    noted: str | None = None


@dataclass(frozen=True)
class CutoverPreview:
    """`cutover --dry-run`: what would be done, who would be in the way now, and why it would be refused."""

    statements: tuple[Statement, ...]
    blockers: tuple[Blocker, ...]
    refusals: tuple[str, ...] = field(default=())


@dataclass
class _Attempt:
    """What the loop learned so far."""

    number: int = 0
    longest_ms: float = 0.0
    reason: str = ""
    refused: int = 0
    code: str = ""
    timeout_ms: int = FIRST_TIMEOUT_MS
    too_long: int = 0
    blockers: tuple[Blocker, ...] = ()


def locked_tables(flow: Flow) -> list[TableName]:
    """The application's tables, views and sequences that the swap locks."""
    inspection = flow.rollout.plan.inspection
    return [
        flow.active.name,
        *bound.locked_views(inspection),
        *others(inspection),
        *(sequence.name for sequence in hanging.serials(inspection)),
    ]


def _in_the_way(conn: Connection, flow: Flow, state: _Attempt) -> tuple[Blocker, ...]:
    """Who made the last attempt give way, as far as it can be seen now."""
    chunks = on_every_chunk(flow)
    found = blockers_of(conn, [*locked_tables(flow), *([flow.passive.name] if chunks else [])], chunks=chunks)
    if state.code == block.SNAPSHOTS:
        found = [*snapshot_holders_of(conn), *found]
    return tuple(dict.fromkeys(found)) or state.blockers


def _message(
    flow: Flow,
    gate: Gate,
    attempt: int,
    excused: Sequence[Group] | None,
    timeouts_ms: Sequence[int],
    places: Places | None,
    below: str | None,
    chunks: int,
    settings: dict[str, str],
) -> sql.Composed:
    """All of the swap as one message: an error in any part skips the rest, and the client's distance does not count."""
    locks = order(wanted_locks(flow), attempt)
    do = block.swap_block(
        flow,
        verification=gate.verification,
        fingerprint=gate.fingerprint,
        excused=excused,
        snapshots_accepted=gate.snapshots_accepted,
        dropped_accepted=gate.dropped_accepted,
        moves_accepted=gate.moves_accepted,
        noted=gate.noted,
        places=places,
        below=below,
        most=block.most_chunks(attempt),
        cost=block.root_cost(chunks),
    )
    wide = [sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in settings.items()]
    # For what has no NOWAIT the shortest wait there is stands in for it.
    at_once = sql.SQL("SET LOCAL lock_timeout = '1ms'")
    return sql.SQL(";\n").join([first(locks), at_once, *wide, further_locks(further(locks), timeouts_ms), do])


def run_swap(
    connect: Callable[[], Connection],
    flow: Flow,
    gate: Gate,
    *,
    attempts: int = 60,
    pools: Pools | None = None,
    should_stop: Callable[[], None] = lambda: None,
    still_ours: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda text: None,
) -> SwapReport:
    """Swaps the flow's two tables in one transaction, or leaves everything as it is. `pools` are paused for each attempt.
    `still_ours` is called before each, and raises where the rollout may be another's by now.

    Raises LockUnavailable after the bounded number of attempts, naming the blockers, NotInTime where `should_stop` raised
    OutOfTime after an attempt; Failed where it takes longer than STATEMENT_TIMEOUT_MS, TOO_LONG times; Refused where a check
    under the lock said no (NotProved: the proof is void); SchemaChanged or CaptureBroken where the table is not what was
    verified.
    """
    state = _Attempt()
    conn = connect()
    over: OutOfTime | None = None
    try:
        while state.number < attempts:
            try:
                should_stop()
                still_ours()
                state.number += 1
                if conn.closed:
                    conn = connect()
                changes = _attempt(connect, conn, flow, gate, state, pools, should_stop, say)
                if changes is not None:
                    return SwapReport(
                        phase=target_phase(flow),
                        attempts=state.number,
                        stall_ms=round(state.longest_ms, 1),
                        changes_under_lock=changes,
                        table=str(flow.rollout.table),
                    )
                if not conn.closed:
                    state.blockers = _in_the_way(conn, flow, state)
                say(f"attempt {state.number} gave way: {state.reason}" + _names(state.blockers))
                pause(pause_seconds(state.number), should_stop)
            except OutOfTime as error:
                if not state.reason:
                    raise
                over = error
                break
    finally:
        conn.close()
    facts = {"attempts": state.number, "last reason": state.reason, **blocker_facts(state.blockers)}
    if over is not None:
        raise NotInTime(
            f"The swap of {flow.rollout.table} gave way every time until --max-wait was over; nothing was changed.",
            facts=facts,
            remedy="wait for the sessions named or end them, then run the same command again, or with a longer --max-wait.",
        )
    raise LockUnavailable(
        f"The swap of {flow.rollout.table} gave way every time; nothing was changed.",
        facts=facts,
        remedy=_REMEDIES.get(
            state.code,
            "wait for the sessions named or end them, then run the same command again; --attempts gives it more patience.",
        ),
    )


_REMEDIES = {
    block.BACKLOG_TOO_LARGE: "swap at a quieter time, or slow down the writers that change rows of many or of compressed chunks; "
    "--attempts gives it more patience, and each ten attempts let it do twice as much under the locks.",
    block.SNAPSHOTS: "wait for the sessions named or end them, then run the same command again; --attempts gives it more "
    "patience. Where they do not read this table, or may miss its last changes: --accept snapshot-transactions waits for none.",
}
"""What to do where an attempt gave way for that reason to the end."""


def _attempt(
    connect: Callable[[], Connection],
    conn: Connection,
    flow: Flow,
    gate: Gate,
    state: _Attempt,
    pools: Pools | None,
    should_stop: Callable[[], None],
    say: Callable[[str], None],
) -> int | None:
    """Drains, then tries once. The number of changes applied under the lock, or None when it gave way."""
    try:
        applier = Applier(conn, flow, should_stop=should_stop)
        drain(conn, flow, applier, say)
        with without_autovacuum(connect, conn, flow):
            message = _prepare(conn, flow, gate, state)
            if not gate.snapshots_accepted and (holders := older_snapshots(conn, should_stop)):
                state.reason, state.code, state.blockers = block.OLDER_SNAPSHOT, block.SNAPSHOTS, tuple(holders)
                return None
            drain_again(applier)
        began = time.monotonic()
        try:
            changes: int | None = None
            failure: Exception | None = None
            try:
                with nullcontext() if pools is None else pools.paused():
                    try:
                        changes = _try_once(conn, flow, gate, state, message)
                    except Exception as error:
                        failure = error
                        raise
            except Failed as error:
                if failure is error or (failure is None and changes is None):
                    raise
                # What became of the attempt counts, whatever the pools do behind it.
                behind = f"{flow.rollout.table} is swapped; but behind that" if failure is None else "behind the attempt"
                say(
                    f"{behind}: {error.message} See with SHOW DATABASES on PgBouncer's admin console that no pool is paused any "
                    "more; RESUME lets one go on"
                )
                if failure is not None:
                    raise failure from None
            return changes
        finally:
            if pools is not None:  # who comes through them waits from the PAUSE on
                state.longest_ms = max(state.longest_ms, (time.monotonic() - began) * 1000)
    except _Lost as lost:
        return after_loss(connect, flow, lost.xid, seconds=2 * ANSWER_SECONDS)
    except (SchemaChanged, CaptureBroken):
        _void(connect, conn, flow)
        raise
    except PoolBusy as busy:
        state.reason, state.code = busy.message, ""
        return None
    except psycopg.Error as error:
        # Outside the swap's own transaction, which looks after itself: nothing is under way, so a new connection will do.
        if is_transient(error):
            state.reason, state.code = str(error).strip(), ""
            return None
        if not is_lost_connection(error):
            raise
        state.reason = "the connection was lost"
        conn.close()
        return None


def _void(connect: Callable[[], Connection], conn: Connection, flow: Flow) -> None:
    """What is found under the locks may have changed rows that no trigger saw (a subscription, a child table): once it has ended
    everything looks as it did, so whatever was proved before does not count any more. Noted by a session that is alive, which
    that of the rollout's claim need not be."""
    try:
        store.bump_epoch(conn, flow.rollout.id)
    except psycopg.Error:
        with connect() as other:
            store.bump_epoch(other, flow.rollout.id)


def _names(blockers: tuple[Blocker, ...]) -> str:
    return "".join(f"; in the way: {blocker}" for blocker in blockers[:2])


class _Lost(Exception):
    """The connection was lost in the swap; `xid` is the transaction's id, None where it had none yet."""

    def __init__(self, xid: str | None) -> None:
        super().__init__(xid)
        self.xid = xid


def _prepare(conn: Connection, flow: Flow, gate: Gate, state: _Attempt) -> sql.Composed:
    """Everything that can be ready before the locks; the swap's message."""
    # Read before the locks: they tell the check under the locks in which chunks to look.
    if gate.verification is not None and gate.excused and (void := too_many_excused(conn, flow, gate.verification)):
        raise _unproved(flow, state, void)
    excused = excused_groups(conn, flow) if gate.excused else None
    timeouts = deadlock_timeouts_ms(conn) if state.number >= PATIENT_FROM else ()
    settings = cold.settings(conn) if cold.may_be_compressed(flow) else {}
    below = compressed_below(conn, flow)
    message = _message(
        flow, gate, state.number, excused, timeouts, places_of(conn, flow), below, planned_chunks(conn, flow), settings
    )
    execute(conn, block.prepare(flow))
    return message


def _try_once(
    conn: Connection, flow: Flow, gate: Gate, state: _Attempt, message: sql.Composed
) -> int | None:
    """One attempt. The number of changes applied under the lock, or None when it gave way. Raises _Lost."""
    timeout = min(state.timeout_ms, STATEMENT_TIMEOUT_MS)
    execute(conn, sql.SQL("SET statement_timeout = {}").format(sql.Literal(timeout)))
    execute(
        conn, sql.SQL("SET idle_in_transaction_session_timeout = {}").format(sql.Literal(IDLE_TIMEOUT_MS))
    )
    xid: str | None = None
    committed = False
    started = time.monotonic()
    try:
        # A transaction id to spare: a snapshot from before the swap is older than the swap's own id, and known by that.
        execute(conn, "SELECT pg_current_xact_id()")
        conn.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        with answered_within(conn, ANSWER_SECONDS), conn.transaction():
            # Our own lock first: no applier is in the middle of a slice, and none begins. Nothing of the
            # application's is held yet.
            execute(conn, sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(flow.lock))
            xid = str(fetch_value(conn, "SELECT pg_current_xact_id()"))
            if on_every_chunk(flow):  # nobody waits behind an attempt that would meet somebody there
                keep_off_at_once(conn, hypertable_of(flow).oid)
            started = time.monotonic()
            execute(conn, message)
        state.longest_ms = max(state.longest_ms, (time.monotonic() - started) * 1000)
        committed = True
    except psycopg.Error as error:
        state.longest_ms = max(state.longest_ms, (time.monotonic() - started) * 1000)
        if is_lost_connection(error):
            state.reason, state.code = "the connection was lost", ""
            conn.close()
            raise _Lost(xid) from None
        longest = timeout == STATEMENT_TIMEOUT_MS and (time.monotonic() - started) * 1000 >= 0.9 * timeout
        if error.sqlstate == "57014" and longest:  # ended by the server, not cancelled by somebody
            _note_too_long(conn, flow, state)
        _judge(error, conn, flow, gate, state)
        return None
    finally:
        if not conn.closed and not committed:
            _as_before(conn)
    try:
        _as_before(conn)
        return changes_recorded(conn, flow)
    except psycopg.Error:  # it is swapped, whatever becomes of these questions
        conn.close()
        raise _Lost(xid) from None


def _note_too_long(conn: Connection, flow: Flow, state: _Attempt) -> None:
    """The longest time there is was too short. Raises Failed where that is no accident: whoever needs the table waits that long
    for each attempt, and what takes long is not the sessions of others, but what the swap has to do."""
    state.too_long += 1
    if state.too_long < TOO_LONG:
        return
    inspection, forward = flow.rollout.plan.inspection, flow.direction is Direction.FORWARD
    keys = len(hanging.foreign_keys(inspection)) + len(inbound.kept_keys(flow))
    chunks = int(fetch_value(conn, "SELECT count(*) FROM pg_inherits WHERE inhparent = %s", [hypertable_of(flow).oid]))
    ways = ["swap at a quieter time, if the server was busy with something else"]
    if forward:
        ways.append(
            "if there are many chunks: `hyperferry abort`, then start anew with a longer --chunk-interval"
            + (
                ", or without the foreign keys (drop them before `start`, or give up those that point at the table by "
                "--drop-inbound-fk, and add them after the cutover, one at a time: each of these takes the same locks)"
                if keys
                else ""
            )
        )
    else:
        ways.append("if there are many chunks: drop or merge some; or keep the hypertable (`hyperferry finish`)")
    raise Failed(
        f"The swap of {flow.rollout.table} takes longer than it may keep others waiting; nothing was changed.",
        facts={
            "given": f"{STATEMENT_TIMEOUT_MS / 1000:g} s under the locks, {state.too_long} times; less before",
            "attempts": state.number,
            "chunks": chunks,
            "foreign keys (each is put on or taken off every chunk, the longer the more there are)": keys,
            "row triggers (each on every chunk)": len(hanging.row_triggers(inspection)),
        },
        remedy="; ".join(ways) + ".",
    ) from None


def _as_before(conn: Connection) -> None:
    conn.isolation_level = None
    execute(conn, "SET statement_timeout = 0")


def _unproved(flow: Flow, state: _Attempt, why: str) -> NotProved:
    """With what was tried so far, as whoever makes the proof anew goes on from there."""
    error = NotProved(
        "Nothing is cut over unproved.",
        facts={"rollout": flow.rollout.id, "server said": why},
        remedy="run `hyperferry verify` to its end, then try again.",
    )
    error.attempts, error.stall_ms = state.number, round(state.longest_ms, 1)
    return error


def _judge(error: psycopg.Error, conn: Connection, flow: Flow, gate: Gate, state: _Attempt) -> None:
    """Notes why an attempt that may be repeated gave way; raises for one that may not."""
    code = error.sqlstate or ""
    text = (error.diag.message_primary or str(error)).strip()
    state.reason, state.code = text, code
    if code == "57014":
        state.timeout_ms *= 2
    if code in (block.BACKLOG_TOO_LARGE, block.SNAPSHOTS, block.CHUNK_GONE) or is_transient(error) or code == "57014":
        return
    state.refused += code[:2] in DATA_ERRORS
    if code[:2] in DATA_ERRORS and state.refused <= PATIENCE:
        # A change of the last moment that the other side cannot take: the applier quarantines it, or finds it undone.
        return
    facts: dict[str, object] = {"rollout": flow.rollout.id, "server said": text}
    if code == block.NOT_PROVED:
        raise _unproved(flow, state, text) from None
    if code == block.MOVED:
        store.note_moves(conn, flow.rollout.id)
        raise Refused(
            f"The cutover of {flow.rollout.table} changes something for the application that was not accepted.",
            facts={store.MOVES: "the change log shows updates that moved rows from one chunk to another", **facts},
            remedy=f"read what it means in docs/preflight, then give --accept {store.MOVES}; nothing was changed.",
        ) from None
    if code == block.QUARANTINED:
        raise Refused(
            "There are rows that the other side cannot take.",
            facts=facts,
            remedy="see them with `hyperferry status`, mend them in the table, run `hyperferry verify`, then try again.",
        ) from None
    if code == block.CHANGED:
        kind = CaptureBroken if "triggers that capture" in text else SchemaChanged
        raise kind(
            "The table is not what was verified.",
            facts=facts,
            remedy="undo the change and verify again, or end this rollout with `hyperferry abort` and start anew.",
        ) from None
    if fingerprint(conn, flow.active.oid) != gate.fingerprint:
        # Made for what was verified, they may fail by a change of the last moment before the check under the lock sees it.
        raise SchemaChanged(
            f"The definition of {flow.active.name} (or what hangs on it) was changed since it was verified.",
            facts=facts,
            remedy="undo the change and verify again, or end this rollout with `hyperferry abort` and start anew.",
        ) from None
    if code == "0A000" and "compressed" in text and flow.passive.hypertable:
        raise Refused(
            f"The hypertable of {flow.rollout.table} has compressed chunks, and what has to be put on it cannot be put on those.",
            facts={**facts, "hypertable": flow.passive.name},
            remedy="nothing was changed. Open them, then run the same command again: SELECT decompress_chunk(c, true) FROM "
            f"show_chunks({_literal(flow.passive.name.quoted)}) AS c;",
        ) from None
    raise Failed(
        "The server refused a part of the swap; nothing was changed.",
        facts={**facts, "SQLSTATE": code, "context": (error.diag.context or "")[:500]},
        remedy="see what would be done with `hyperferry cutover --dry-run`, mend the cause, then run the same command again.",
    ) from None


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None)
