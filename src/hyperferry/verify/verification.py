"""A verification from its first snapshot to its record in the ledger."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

import psycopg

from ..catalog import fingerprint
from ..db import execute, fetch_one, fetch_value
from ..db.connection import Connection
from ..errors import Conflict, Failed
from ..ledger import store, unseen
from ..ledger.flow import Flow
from ..ledger.transaction import flow_transaction
from ..model.report import Difference, VerifyReport
from . import statements
from .compare import LISTED, SETTINGS, RangeResult, Task, compare_range
from .excuses import look_at_excused
from .groups import GroupSums, group_column, merge
from .parallel import in_parallel
from .ranges import RANGE_ROWS, Range, find_ranges
from .share import Share

TRIES = 60
_TRUNCATION_ROUNDS = 10
_PAUSE_SECONDS = 0.5


@dataclass
class _Found:
    """What the ranges have given so far."""

    ranges: list[RangeResult] = field(default_factory=list)
    differences: list[tuple[Range, Difference]] = field(default_factory=list)
    groups: GroupSums = field(default_factory=dict)
    truncated: list[Range] = field(default_factory=list)

    def add(self, result: RangeResult) -> None:
        """Takes a range's result in; of long lists only what will be shown is kept."""
        if result.truncated:
            self.truncated.append(result.within)
            return
        room = LISTED - len(self.differences)
        self.differences += [(result.within, one) for one in result.differences[:room]]
        for group, sums in result.groups.items():
            self.groups[group] = self.groups[group] + sums if group in self.groups else sums
        self.ranges.append(replace(result, differences=(), groups={}))


@dataclass(frozen=True)
class _Beginning:
    """What was read before the first snapshot."""

    started: datetime
    epoch: int
    newest: int
    fingerprint: str
    tables: str
    way_in: str | None
    clock: float


def verify(
    connect: Callable[[], Connection],
    flow: Flow,
    *,
    stop: Callable[[], None],
    say: Callable[[str], None],
    by: str | None = None,
    repair: bool = False,
    workers: int = 2,
    apply_backlog: Callable[[], None] | None = None,
    apply_excused: Callable[[datetime], None] | None = None,
    dropped: tuple[tuple[str, str], ...] = (),
    tries: int = TRIES,
    range_rows: int = RANGE_ROWS,
    share: Callable[[Connection], int | None] = lambda conn: None,
) -> VerifyReport:
    """Verifies that both sides hold the same multiset of rows, while writers run, and records what it found.

    `by` adds groups; `repair` puts differing pairs into the backlog, has it applied by `apply_backlog` and
    verifies again; `apply_excused` applies nothing but the changes of pairs that stand excused in the ledger as of the moment
    given, and may be left out; `dropped` are ranges of the time (from, to; exclusive) that are counted apart and not
    compared; `stop` may raise to end the work; `tries` bounds the attempts at each transaction's locks; `share` says now and
    then how many processes of the server may be at work for it (None: `workers` sessions, with as many helpers each as the
    server gives).
    Source is the active side, target the passive one. Raises Usage for an unknown `by`, SchemaChanged or
    CaptureBroken for a changed table, Conflict where another verification was recorded meanwhile,
    LockUnavailable.
    """
    if by is not None:
        group_column(flow, by)
    run = _Run(
        connect, flow, by, workers, stop, say, apply_backlog, apply_excused, dropped, tries, range_rows, share
    )
    report, repaired = run.once(repair=repair, repaired=0)
    if repaired:
        say(f"{repaired:,} pairs were put into the backlog; verifying again once it is applied")
        if apply_backlog is not None:
            apply_backlog()
        report, _ = run.once(repair=False, repaired=repaired)
    return report


@dataclass(frozen=True)
class _Run:
    """The arguments of `verify`."""

    connect: Callable[[], Connection]
    flow: Flow
    by: str | None
    workers: int
    stop: Callable[[], None]
    say: Callable[[str], None]
    apply_backlog: Callable[[], None] | None
    apply_excused: Callable[[datetime], None] | None
    dropped: tuple[tuple[str, str], ...]
    tries: int
    range_rows: int
    share: Callable[[Connection], int | None]

    def once(self, *, repair: bool, repaired: int) -> tuple[VerifyReport, int]:
        """One verification of everything, recorded; and how many pairs were put into the backlog after it."""
        with contextlib.closing(self.connect()) as conn:
            begun = self._begin(conn)
            task = Task(self.flow, begun.started, self.tries, _merged(self.dropped), self.by)
            found = self._compare(conn, task)
            outcome = look_at_excused(
                conn,
                task,
                apply_backlog=self.apply_backlog,
                apply_excused=self.apply_excused,
                stop=self.stop,
                say=self.say,
            )
            count = sum(r.difference_count for r in found.ranges) + outcome.difference_count
            put = self._repair(conn, task, found) if repair and count else 0
            listed = (*(one for _, one in found.differences), *outcome.differences)
            report = self._report(conn, begun, found, count, listed, outcome.left)
            report = replace(report, repaired=repaired)
            self._record(conn, begun, report)
        return report, put

    def _begin(self, conn: Connection) -> _Beginning:
        row = fetch_one(conn, statements.query("start"), {"id": self.flow.rollout.id})
        if row is None:
            raise Failed("The ledger has no such rollout.", facts={"rollout": self.flow.rollout.id})
        return _Beginning(
            started=row[0],
            epoch=row[1],
            newest=row[2],
            fingerprint=fingerprint(conn, self.flow.active.oid),
            tables=str(fetch_value(conn, psycopg.sql.SQL("SELECT {}").format(unseen.tables(self.flow)))),
            way_in=unseen.way_in(conn, self.flow),
            clock=time.monotonic(),
        )

    def _compare(self, conn: Connection, task: Task) -> _Found:
        """All ranges, those again that met a TRUNCATE which had not been applied yet."""
        ranges = find_ranges(conn, self.flow, stop=self.stop, tries=self.tries, rows=self.range_rows)
        found = _Found()

        def take(result: RangeResult) -> None:
            found.add(result)
            self.say(f"{len(found.ranges)} of {len(ranges)} ranges verified")

        share = Share(conn, self.share, self.workers)

        def look() -> None:
            self.stop()
            share.look()

        todo = ranges
        for _ in range(_TRUNCATION_ROUNDS):
            in_parallel(
                self.connect,
                self.workers,
                todo,
                lambda own, within, go_on: compare_range(own, share.of(task), within, go_on),
                stop=look,
                done=take,
                allowed=share.sessions,
            )
            if not found.truncated:
                place = {within: number for number, within in enumerate(ranges)}
                found.ranges.sort(key=lambda result: place[result.within])
                found.differences.sort(key=lambda pair: place[pair[0]])
                return found
            todo, found.truncated = found.truncated, []
            if self.apply_backlog is not None:
                self.apply_backlog()
            else:
                time.sleep(_PAUSE_SECONDS)
        raise Failed(
            f"{self.flow.active.name} was truncated and the other side does not follow.",
            facts={"rollout": self.flow.rollout.id, "attempts": _TRUNCATION_ROUNDS},
            remedy="let `hyperferry sync` apply the backlog, then verify again.",
        )

    def _repair(self, conn: Connection, task: Task, found: _Found) -> int:
        """Puts what differs now into the backlog, a short transaction for each range. Older verifications end
        to count first."""
        flow = self.flow
        store.bump_epoch(conn, flow.rollout.id)
        put = 0
        for result in found.ranges:
            if result.difference_count:
                put += self._put(conn, task, statements.repair(flow, result.within, task.dropped))
        put += self._put(conn, task, statements.repair_proved(flow))
        store.event(conn, flow.rollout.id, "repaired", {"direction": flow.direction.value, "pairs": put})
        return put

    def _put(self, conn: Connection, task: Task, statement: psycopg.sql.Composed) -> int:
        def work() -> int:
            with flow_transaction(conn, self.flow, snapshot=True, settings=SETTINGS):
                return int(fetch_value(conn, statement))

        return task.patiently(conn, f"repair {self.flow.passive.name}", work, self.stop)

    def _report(
        self,
        conn: Connection,
        begun: _Beginning,
        found: _Found,
        count: int,
        differences: tuple[Difference, ...],
        excused: int,
    ) -> VerifyReport:
        quarantined = fetch_value(
            conn,
            statements.query("quarantined").format(quarantine=self.flow.of_ledger("quarantine")),
            {"direction": self.flow.direction.value},
        )
        return VerifyReport(
            match=count == 0 and quarantined == 0,
            source_rows=sum(r.source_rows for r in found.ranges),
            target_rows=sum(r.target_rows for r in found.ranges),
            ranges=tuple(r.parity for r in found.ranges),
            differences=differences[:LISTED],
            difference_count=count,
            excused=excused,
            quarantined=quarantined,
            repaired=0,
            seconds=time.monotonic() - begun.clock,
            groups=merge(self.flow, self.by, [found.groups]) if self.by is not None else (),
            dropped=_merged(self.dropped),
            dropped_source_rows=sum(r.dropped_source_rows for r in found.ranges),
            dropped_target_rows=sum(r.dropped_target_rows for r in found.ranges),
        )

    def _record(self, conn: Connection, begun: _Beginning, report: VerifyReport) -> None:
        """Records the report; its excused pairs replace those of earlier verifications in the same
        transaction."""
        rollout, excused = self.flow.rollout.id, self.flow.of_ledger("excused")

        def work() -> None:
            conn.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            with conn.transaction():
                execute(conn, statements.query("lock_excused").format(excused=excused))
                known = {"id": rollout, "newest": begun.newest}
                if fetch_value(conn, statements.query("newer_verification"), known):
                    raise Conflict(
                        f"Another verification of {self.flow.active.name} was recorded while this one ran.",
                        facts={"rollout": rollout, "this one started": begun.started},
                        remedy="its result stands; see `hyperferry status`, or verify again.",
                    )
                execute(
                    conn,
                    statements.query("forget_excused").format(excused=excused),
                    {"started": begun.started},
                )
                store.record_verification(
                    conn,
                    rollout,
                    direction=self.flow.direction.value,
                    epoch=begun.epoch,
                    fingerprint=begun.fingerprint,
                    started_at=begun.started,
                    match=report.match,
                    source_rows=report.source_rows,
                    target_rows=report.target_rows,
                    report=asdict(report) | {"tables": begun.tables},
                )
                way_in = begun.way_in or unseen.way_in(conn, self.flow)
                if way_in is not None:
                    store.bump_epoch(conn, rollout)
                    self.say(f"{way_in}: so this says what was there, and is no proof for a swap")

        Task(self.flow, begun.started, self.tries).patiently(conn, "record the verification", work, self.stop)


def _merged(dropped: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Dropped ranges with neighbours joined: retention drops chunk after chunk."""
    out: list[tuple[str, str]] = []
    for start, end in dropped:
        if out and out[-1][1] == start:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return tuple(out)
