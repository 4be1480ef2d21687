"""A benchmark from the first look to the report."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

import psycopg

from .. import catalog
from ..catalog.server import server_facts
from ..db import connect, patient_read
from ..db.connection import Connection
from ..errors import Failed, Interrupted, Refused, Usage
from ..model.names import TableName
from ..words import milliseconds, plural
from . import cold as cold_runs
from . import query_file
from .causes import PLANNED_ONCE, REFUSED, TOO_SLOW, causes, causes_of_failure, notes
from .draw import draw, nulls
from .figures import judge, losing_sets, lost_for_certain, median, slowest_allowed
from .options import BenchOptions, Cause, LeftOut, Measured, Outcome, Query, Report, Run, Shape, Side, Verdict
from .session import CannotRun, ServerRefuses, Session, TimedOut, WrongTable
from .sides import sides, views
from .source import gather, unseen
from .views import View

Say = Callable[[str], None]
LOOKS_SECONDS = 60.0
"""What is looked up beside the queries may take so long, however short their own time limit is."""

BUT_BEFORE = "but for the plan before: the kept file has one for all of them, so no cause rests on it"


@dataclass
class _Case:
    """A query at work: what was measured so far, by side."""

    query: Query
    notes: list[str] = field(default_factory=list)
    first: dict[int, list[Run]] = field(default_factory=dict)
    """Before the rounds: to see what it reads, and to warm the cache."""
    runs: dict[int, list[Run]] = field(default_factory=dict)
    cold: dict[int, list[Run]] = field(default_factory=dict)
    shapes: dict[int, list[Shape]] = field(default_factory=dict)
    errors: dict[int, Cause] = field(default_factory=dict)
    late: int | None = None
    """The set of values with which it took too long."""

    def measured(self, side: int, draws: frozenset[int] | None = None) -> Measured:
        """The side's part of it, with the shape that most runs had; most of those with the sets of values in `draws`."""
        runs, shapes = self.runs.get(side, []), self.shapes.get(side, [])
        if draws is not None:
            shapes = [shape for run, shape in zip(runs, shapes, strict=False) if run.draw in draws]
        lines = Counter(shape.lines for shape in shapes).most_common(1)
        shape = next((each for each in shapes if each.lines == lines[0][0]), None) if lines else None
        error = self.errors[side].words if side in self.errors else None
        return Measured(tuple(runs), shape, tuple(self.cold.get(side, ())), error)


def bench(options: BenchOptions, *, say: Say = lambda text: None, stop: threading.Event | None = None) -> Report:
    """Runs the queries and judges them. Nothing is written. Raises Usage, Refused, Failed, Interrupted."""
    stop = stop or threading.Event()
    begun = time.monotonic()
    with ExitStack() as open_:
        control = open_.enter_context(connect(options.dsn, purpose="bench"))
        connections = [control]
        open_.enter_context(_cancelled_at(stop, connections))
        facts = server_facts(control)
        if facts.transaction_pooled:
            raise Refused(
                "A pooler in transaction pooling stands between here and the server; queries have to be prepared in a session.",
                remedy="connect to the server itself, or to a pool in session pooling.",
            )
        control.execute(f"SET statement_timeout = {round(_looks_seconds(options) * 1000)}")
        before, after, table, found = _look(control, options)
        if options.against is not None:
            _refuse_another(options.against, options, table)
        queries, left_out = _gather(control, options, before or after, [table, *(view.name for view in found)])
        said = unseen(control) if options.queries is None and options.against is None else ()
        queries, more = _draw(control, before or after, queries, options)
        both = [after] if before is None else [before, after]
        sessions = []
        for at, side in enumerate(both):
            other = both[1 - at] if before is not None else None
            sessions.append(open_.enter_context(_session(control, options, side, other, table, found)))
            connections.append(sessions[-1].conn)
        ready, refused = _prepare(sessions, queries, options, say, stop)
        left_out += [*more, *refused]
        if not ready:
            raise Failed(
                f"None of the queries on {table} can be measured.",
                facts={each.name: f"{each.reason}. What to do: {each.remedy}" for each in left_out[:10]},
                remedy="see to each reason; `--write-queries FILE` writes a file of queries to begin with.",
            )
        cold = _measure(control, sessions, ready, options, say, stop)
        _refuse_moved(control, options, before, after)
    compared = "alone" if before is None else f"{before.label} and {after.label}"
    report = Report(
        table=str(table), before=before, after=after, compared=compared, outcomes=(), left_out=tuple(left_out),
        server=f"PostgreSQL {facts.version}, TimescaleDB {facts.timescaledb_installed or 'not installed'}",
        at=datetime.now(UTC).isoformat(timespec="seconds"), seed=options.seed, runs=options.runs, draws=options.draws,
        threshold=options.threshold, ignored=options.ignored, timeout=options.timeout, cold=cold,
        plans="generic" if options.generic else "custom", notes=said, seconds=time.monotonic() - begun,
    )  # fmt: skip
    if options.against is not None:
        return _against(report, options.against, options, ready)
    outcomes = [
        _outcome(
            each,
            before,
            after,
            each.measured(0) if before is not None else None,
            each.measured(len(sessions) - 1),
            options,
        )
        for each in ready
    ]
    return replace(report, outcomes=tuple(outcomes))


def _looks_seconds(options: BenchOptions) -> float:
    return max(options.timeout, LOOKS_SECONDS)


def _look(conn: Connection, options: BenchOptions) -> tuple[Side | None, Side, TableName, tuple[View, ...]]:
    """Both sides, the table's name, and the views that read what has it."""
    before, after = sides(conn, options)
    oid, table = catalog.resolve_table(conn, options.table)
    return before, after, table, patient_read(conn, f"look at {table}", [table], partial(views, conn, oid))


def _gather(
    conn: Connection, options: BenchOptions, side: Side, names: Sequence[TableName]
) -> tuple[list[Query], list[LeftOut]]:
    return patient_read(conn, f"look at {names[0]}", names[:1], partial(gather, conn, options, names, side))


def _draw(
    conn: Connection, side: Side, queries: Sequence[Query], options: BenchOptions
) -> tuple[list[Query], list[LeftOut]]:
    found = [draw(conn, side, each, options.draws, options.seed, _looks_seconds(options)) for each in queries]
    return [each for each in found if isinstance(each, Query)], [each for each in found if isinstance(each, LeftOut)]


@contextmanager
def _session(
    control: Connection, options: BenchOptions, side: Side, other: Side | None, table: TableName, found: Sequence[View]
) -> Iterator[Session]:
    session = Session(control, options, side, other, table, found)
    try:
        yield session
    finally:
        session.close()


@contextmanager
def _cancelled_at(stop: threading.Event, connections: Sequence[Connection]) -> Iterator[None]:
    """Has what runs on the server cancelled when `stop` is set. Raises Interrupted then."""
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if stop.wait(0.1):
                for conn in connections:
                    with suppress(psycopg.Error, OSError):
                        conn.cancel_safe()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except psycopg.errors.QueryCanceled:
        if stop.is_set():
            raise _interrupted() from None
        raise
    finally:
        done.set()
        watcher.join()


def _interrupted() -> Interrupted:
    return Interrupted(
        "Interrupted: nothing was measured to its end.", remedy="nothing was changed; run the same command again."
    )


def _prepare(
    sessions: Sequence[Session], queries: Sequence[Query], options: BenchOptions, say: Say, stop: threading.Event
) -> tuple[list[_Case], list[LeftOut]]:
    """The queries that can be run, or could before: what only the side after refuses is a loss, and nothing to leave out.
    Each has been run once on each side then, with its first values: what a function in it reads shows only so."""
    say(f"Running each of {plural(len(queries), 'query').replace('querys', 'queries')} once, to see what it reads.")
    ran = frozenset() if options.against is None else _could_run(options.against)
    ready: list[_Case] = []
    refused: list[LeftOut] = []
    for each in queries:
        case = _Case(each, list(nulls(each)))
        try:
            for at, session in enumerate(sessions):
                try:
                    note = session.prepare(each)
                except ServerRefuses as why:
                    if at == 0 and each.name not in ran:
                        raise
                    note, case.errors[at] = None, Cause(REFUSED, why.reason, why.remedy)
                case.notes += [] if note is None else [note]
            for at, session in enumerate(sessions):
                # What the side after refuses says nothing of before.
                if not any(failed <= at for failed in case.errors):
                    _run(case, at, session, 0, case.first.setdefault(at, []), stop, first=True)
        except CannotRun as why:
            refused.append(LeftOut(each.name, each.sql, why.reason, why.remedy, (), each.values))
        else:
            ready.append(case)
    return ready, refused


def _could_run(earlier: Report) -> frozenset[str]:
    """The names of the queries that have figures which today's are compared with."""
    return frozenset(
        each.query.name for each in earlier.outcomes if (old := _earlier(earlier, each)) is not None and old.runs
    )


def _earlier(earlier: Report, each: Outcome) -> Measured | None:
    """What is before in a comparison with an earlier report: its plain table where it had two sides."""
    return each.before if earlier.before is not None else each.after


def _measure(
    control: Connection,
    sessions: Sequence[Session],
    cases: Sequence[_Case],
    options: BenchOptions,
    say: Say,
    stop: threading.Event,
) -> str:
    """All runs, in turn: round after round every query, side after side, each round the other side first. Says what came of
    the cold ones."""
    evictor = cold_runs.Evictor(control) if options.cold else None
    if evictor is not None and evictor.reason is None:
        say("Measuring with a cold cache, once for each query and side.")
        for case in cases:
            for at, session in enumerate(sessions):
                if not case.errors:
                    evictor.evict(session.side)
                    _run(case, at, session, 0, case.cold.setdefault(at, []), stop, cold=True)
    say(f"Warming up: {plural(len(cases), 'query').replace('querys', 'queries')}.")
    for case in cases:
        for at, session in enumerate(sessions):
            for number in range(0 if case.cold else 1, len(case.query.drawn)):
                if not case.errors:
                    _run(case, at, session, number, case.first.setdefault(at, []), stop)
    for turn in range(options.runs):
        say(f"Round {turn + 1} of {options.runs}.")
        for case in cases:
            order = list(enumerate(sessions))
            for at, session in order if turn % 2 == 0 else reversed(order):
                if not case.errors:
                    drawn = turn % len(case.query.drawn)
                    _run(case, at, session, drawn, case.runs.setdefault(at, []), stop, keep=True)
    if evictor is None:
        return cold_runs.NOT_ASKED
    return evictor.reason or cold_runs.MEASURED


def _run(
    case: _Case,
    at: int,
    session: Session,
    number: int,
    into: list[Run],
    stop: threading.Event,
    *,
    keep: bool = False,
    cold: bool = False,
    first: bool = False,
) -> None:
    """One run. Raises WrongTable where the `first` reads what it should not. One that takes too long is tried once more where
    its figures are not kept, since its pages may have come from the disk; a `cold` one says nothing of the query with its
    pages in the cache."""
    if stop.is_set():
        raise _interrupted()
    try:
        try:
            run, shape = session.run(case.query, number)
        except TimedOut:
            if keep or cold or stop.is_set():
                raise
            run, shape = session.run(case.query, number)
    except CannotRun as why:
        if first and isinstance(why, WrongTable):
            raise
        case.errors[at] = Cause(REFUSED, why.reason, why.remedy)
        return
    except TimedOut as why:
        if not cold:
            case.errors[at], case.late = Cause(TOO_SLOW, str(why), why.remedy), number
            planned = session.shape(case.query, number)
            case.shapes[at] = [] if planned is None else [planned]
        return
    into.append(run)
    if keep:
        case.shapes.setdefault(at, []).append(shape)


def _refuse_moved(conn: Connection, options: BenchOptions, before: Side | None, after: Side) -> None:
    """Raises Refused where the tables changed places, or were replaced, while they were measured."""
    again = sides(conn, options)
    known = [None if side is None else (side.oid, side.name) for side in (before, after)]
    if [None if side is None else (side.oid, side.name) for side in again] != known:
        raise Refused(
            f"The rollout of {options.table} moved on while its queries were measured, so the figures mean nothing.",
            remedy="run the same command again.",
        )


def _outcome(
    case: _Case, before: Side | None, after: Side, old: Measured | None, new: Measured, options: BenchOptions
) -> Outcome:
    verdict, ratio, agreed = judge(old, new, options.threshold, options.ignored)
    why: tuple[Cause, ...] = ()
    sets = ""
    if verdict is Verdict.FAILED and (short := _limit_too_short(case, old, options)) is not None:
        verdict, new = Verdict.NOT_MEASURED, replace(new, error=short)
    elif verdict is Verdict.SLOWER and old is not None:
        sets = losing_sets(old, new, options.threshold, options.ignored)
    compared = old
    if sets and old is not None:
        draws = frozenset(each.draw for each in lost_for_certain(old.runs, new.runs, options.threshold, options.ignored))
        new = replace(new, shape=case.measured(max(case.runs), draws).shape)
        if options.against is None:
            old = replace(old, shape=case.measured(0, draws).shape)
        compared, sets = _of_sets(old, draws), f"{sets}; plans and causes are theirs"
        if options.against is not None and _lines(old) != _lines(new):
            compared, sets = replace(compared, shape=None), f"{sets}, {BUT_BEFORE}"
    if verdict is Verdict.SLOWER and before is not None and compared is not None and new.shape is not None:
        why = causes(before, after, compared, _of_sets(new, draws if sets else None))
    elif verdict is Verdict.FAILED:
        why = causes_of_failure(after, new, *case.errors.values())
    said = (*([sets] if sets else ()), *case.notes, *notes(before, after, old, new))
    return Outcome(case.query, old, new, verdict, ratio, agreed, why, said)


def _lines(measured: Measured) -> Sequence[str]:
    return () if measured.shape is None else measured.shape.lines


def _of_sets(measured: Measured, draws: frozenset[int] | None) -> Measured:
    """The part of it that ran with these sets of values; all of it for None."""
    if draws is None:
        return measured
    return replace(measured, runs=tuple(run for run in measured.runs if run.draw in draws))


def _limit_too_short(case: _Case, old: Measured | None, options: BenchOptions) -> str | None:
    """In words, why a query that took too long on the side after is no loss for certain: within the time limit it may take
    as long, by what it takes before with the same values. None where it is one, or failed of something else."""
    [error] = case.errors.values()
    if error.code != TOO_SLOW or old is None:
        return None
    first = case.first.get(0, []) if options.against is None else []
    same = [[run for run in runs if run.draw == case.late] for runs in (old.runs, first)]
    kept, first = same if any(same) else (list(old.runs), first)
    if not kept and not first:
        return None
    # Before the rounds some pages came from the disk: the fastest run tells most.
    usual = median(kept, lambda run: run.total_ms) if kept else min(run.total_ms for run in first)
    allowed = slowest_allowed(usual, options.threshold, options.ignored)
    if options.timeout * 1000 > allowed:
        return None
    return (
        f"{error.words}, and may take {milliseconds(allowed)}, since it takes {milliseconds(usual)} before; "
        "raise --timeout to have it measured"
    )


def _against(report: Report, earlier: Report, options: BenchOptions, ready: Sequence[_Case]) -> Report:
    """The report with an earlier one's figures as before: those of its plain table where it had two sides."""
    side = earlier.before or earlier.after
    old = {each.query.name: _earlier(earlier, each) for each in earlier.outcomes}
    for each in ready:
        if earlier.plans == "custom" and not earlier.texts_planned and not each.query.values:
            each.notes.append(PLANNED_ONCE)
    outcomes = [
        _outcome(each, side, report.after, *_with_the_same_values(old[each.query.name], each.measured(0)), options)
        for each in ready
    ]
    when = f"before was measured at {earlier.at} on {earlier.server}: load, cache and data may differ from today's"
    return replace(report, before=side, compared=f"{side.label} of {earlier.at} and {report.after.label} now",
                   outcomes=tuple(outcomes), notes=(*report.notes, when), texts_planned=earlier.texts_planned)  # fmt: skip


def _with_the_same_values(old: Measured | None, new: Measured) -> tuple[Measured | None, Measured]:
    """Both with as many runs of each set of values, the first ones: another number of --runs leaves values out, or gives some
    of them more weight on one side. Both whole where today's did not run to their end: nothing is compared then."""
    if old is None or not old.runs or not new.runs or new.error is not None:
        return old, new
    counts = [Counter(run.draw for run in each.runs) for each in (old, new)]
    most = counts[0] & counts[1]
    return _first_runs(old, most), _first_runs(new, most)


def _first_runs(measured: Measured, most: Counter[int]) -> Measured:
    kept: list[Run] = []
    left = most.copy()
    for run in measured.runs:
        if left[run.draw] > 0:
            left[run.draw] -= 1
            kept.append(run)
    return replace(measured, runs=tuple(kept))


def _refuse_another(earlier: Report, options: BenchOptions, table: TableName) -> None:
    """Raises Usage for an earlier report whose figures mean something else than today's would."""
    if earlier.table != str(table):
        raise Usage(
            "The kept benchmark is of another table.",
            facts={"kept": earlier.table, "named now": str(table)},
            remedy="name the table that it was made of.",
        )
    plans = "generic" if options.generic else "custom"
    if earlier.plans != plans:
        raise Usage(
            "The kept benchmark planned its queries in another way.",
            facts={"kept": earlier.plans, "asked for now": plans},
            remedy=f"leave --plan out: it is {earlier.plans}, as it was then.",
        )


def write_template(options: BenchOptions) -> tuple[str, int, int]:
    """What pg_stat_statements shows as a file of queries, how many of them can be run, and how many not. Raises Usage, Failed."""
    with connect(options.dsn, purpose="bench") as control:
        _, side, table, found = _look(control, replace(options, alone=True))
        options = replace(options, queries=None, against=None)
        queries, left_out = _gather(control, options, side, [table, *(view.name for view in found)])
    return query_file.write(queries, left_out, str(table)), len(queries), len(left_out)
