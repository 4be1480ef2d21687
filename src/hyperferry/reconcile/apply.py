"""The first step is done, the world is looked at again, and so on until nothing is left.

Nothing is remembered between steps, so that it does not matter where a run ends: the next one finds what is there. A step in one
transaction takes its strongest lock first, waits for it shortly, and for no other (I0): what is not to be had is tried again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import sql

from .. import db
from ..claim import worker_of
from ..db.connection import Connection
from ..errors import Conflict, Failed, HyperferryError, Interrupted
from ..ledger import store
from ..model.declared import Declared
from ..model.difference import Difference, Step, Work
from ..model.names import TableName
from ..model.rollout import Rollout
from ..model.throttle import Limits
from ..model.upkeep import Window
from ..upkeep import aggregates, indexes
from ..upkeep.watching import watching
from .look import World, find, look
from .permission import Allowed, not_cut_over, refuse_refusals, refuse_unconfirmed
from .queries import search_path

Say = Callable[[str], None]

APPLY_LOCK = 71509173
"""The class of the advisory locks that tell which hypertable's declared state is being applied."""


@dataclass
class Report:
    """What was done, in order, and how the database stands to the file now."""

    table: TableName
    done: list[Step] = field(default_factory=list)
    left: Difference | None = None


def inspect(dsn: str, table: str, declared: Declared, *, prune: frozenset[str] = frozenset()) -> World:
    """`hyperferry diff`: the difference now. Changes nothing."""
    with db.connect(dsn, purpose="diff") as conn:
        name, rollout = find(conn, table)
        return _look(conn, name, declared, rollout, prune)


def apply(
    dsn: str,
    table: str,
    declared: Declared,
    *,
    prune: frozenset[str] = frozenset(),
    allowed: Allowed | None = None,
    before_cutover: bool = False,
    limits: Limits | None = None,
    stop: threading.Event | None = None,
    say: Say = lambda text: None,
) -> Report:
    """`hyperferry apply`: brings the database to what the file wants, step by step. By `limits` the first refresh of an
    aggregate is throttled.

    Raises Refused, before anything is done, for refused wishes, for a rollout that is not cut over (without
    `before_cutover`), and for rows that would be dropped without being `allowed`; Interrupted when `stop` is set,
    with what was done kept.
    """
    stopping = stop or threading.Event()
    permitted = allowed or Allowed()
    with db.connect(dsn, purpose="apply") as conn:
        name, rollout = find(conn, table)
        if rollout is not None and not rollout.phase.hypertable_serves and not before_cutover:
            raise not_cut_over(rollout)
        world = _look(conn, name, declared, rollout, prune)
        refuse_refusals(world.difference)
        refuse_unconfirmed(world.difference, permitted)
        with _alone(conn, world):
            report = Report(name)
            _run(conn, world, declared, prune, permitted, report, limits, stopping, say)
    return report


def _look(
    conn: Connection, name: TableName, declared: Declared, rollout: Rollout | None, prune: frozenset[str]
) -> World:
    """A look that waits for whoever holds a chunk: a policy that compresses or reorders it, VACUUM FULL."""
    return db.patient_read(
        conn, f"look at {name}", [name], lambda: look(conn, name, declared, rollout, prune)
    )


def _run(
    conn: Connection,
    world: World,
    declared: Declared,
    prune: frozenset[str],
    allowed: Allowed,
    report: Report,
    limits: Limits | None,
    stop: threading.Event,
    say: Say,
) -> None:
    def should_stop() -> None:
        if stop.is_set():
            left = len(world.difference.steps) if world.difference.steps else 0
            raise Interrupted(
                "Interrupted between two steps." if report.done else "Interrupted before the first step.",
                facts={"done": len(report.done), "left": left},
                remedy="what was done is kept; run the same command again to go on.",
            )

    for key in world.difference.absent:
        say(f"{key} is not there: nothing to prune")
    if world.rollout is not None and world.difference.steps and not world.early:
        say("The rollout is not finished: what is made now has to be undone before a rollback.")
    while world.difference.steps:
        should_stop()
        step = world.difference.steps[0]
        if _done_before(report, step):
            raise Failed(
                f"{step.what}: done, and still the database is otherwise.",
                facts={"step": step.key, "statements": "; ".join(step.texts)},
                remedy="somebody may be changing it back; `hyperferry diff` shows what it has.",
            )
        say(f"{step.kind}: {step.what}")
        for note in step.notes:
            say(f"  {note}")
        _do(conn, world, step, allowed, limits, should_stop, say)
        report.done.append(step)
        _record(conn, world.rollout, step)
        if step.confirm is not None and step.confirm.drops is not None and allowed.chunks is not None:
            allowed = replace(allowed, chunks=allowed.chunks - len(step.confirm.drops.chunks))
        world = _look(conn, report.table, declared, world.rollout, prune)
        refuse_refusals(world.difference)
        refuse_unconfirmed(world.difference, allowed)
    report.left = world.difference


def _done_before(report: Report, step: Step) -> bool:
    """Whether the step would be done once more. An index is told by the wish for it: without a name in the file, a
    second one would get another."""
    if step.work is Work.INDEX:
        return any(
            each.work is Work.INDEX and each.relation == step.relation and each.index == step.index
            for each in report.done
        )
    return bool(report.done) and report.done[-1].key == step.key and report.done[-1].texts == step.texts


def _do(
    conn: Connection,
    world: World,
    step: Step,
    allowed: Allowed,
    limits: Limits | None,
    should_stop: Callable[[], None],
    say: Say,
) -> None:
    if step.work is Work.INDEX:
        assert step.index is not None
        indexes.build(
            conn,
            step.relation,
            step.index,
            say=say,
            should_stop=should_stop,
            may_block=allowed.blocking_index,
        )
        return
    if step.work is Work.REFRESH:
        with watching(conn, say=say, limits=limits) as valve, _as_owner(conn, world, _owner(world, step)):
            aggregates.refresh(conn, step.relation, Window(), say=say, should_stop=should_stop, throttle=valve)
        return

    path = search_path(conn, world.state.name.schema, world.server)

    def work() -> None:
        with conn.transaction():
            db.not_held_by_the_gone(conn)
            db.execute(conn, path)
            if world.server.session != _owner(world, step):
                db.execute(conn, sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(_owner(world, step))))
            _lock(conn, world, step)
            for statement in step.statements:
                # By the extended protocol, in which the server refuses whatever is more than one statement.
                conn.execute(statement, binary=True)

    try:
        db.yield_and_retry(
            conn,
            f"do the step {step.key}",
            [step.relation],
            work,
            chunks=True,
            should_stop=should_stop,
            on_failure=_telling(say, step),
        )
    except (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateObject):
        return  # somebody else's hand was quicker: the next look tells whether it is as it should be
    except psycopg.Error as error:
        raise _server_refused(step, error) from error


def _lock(conn: Connection, world: World, step: Step) -> None:
    """The strongest lock first, and for no further one is waited: a chunk that somebody uses makes the whole step give way."""
    if step.lock_mode is not None:
        table = world.state.name if step.relation == world.state.name else _hidden(world, step.relation)
        db.execute(
            conn,
            sql.SQL("LOCK TABLE ONLY {} IN {} MODE").format(
                sql.Identifier(table.schema, table.name), sql.SQL(step.lock_mode)
            ),
        )
        db.execute(conn, "SET LOCAL lock_timeout = '1ms'")


def _hidden(world: World, relation: TableName) -> TableName:
    """The hypertable under a continuous aggregate."""
    return next(each.materialization for each in world.state.aggregates if each.name == relation)


def _owner(world: World, step: Step) -> str:
    """Whose the relation is that the step works on; an aggregate that is made becomes the table owner's."""
    owners = {each.name: each.owner for each in world.state.aggregates}
    return owners.get(step.relation, world.state.owner)


@contextmanager
def _as_owner(conn: Connection, world: World, owner: str) -> Iterator[None]:
    """The session acts as the owner for the length of the block, so that what is made is theirs."""
    if world.server.session == owner:
        yield
        return
    db.execute(conn, sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
    try:
        yield
    finally:
        if not conn.closed:
            db.execute(conn, "RESET ROLE")


def _telling(say: Say, step: Step) -> Callable[[int, list[db.Blocker]], None]:
    def tell(attempt: int, blockers: list[db.Blocker]) -> None:
        if attempt in (5, 20, 40):
            who = f": {blockers[0]}" if blockers else ""
            say(f"{step.key}: the lock was not to be had {attempt} times; trying again{who}")

    return tell


def _server_refused(step: Step, error: psycopg.Error) -> HyperferryError:
    """What the server said of a statement, as a refusal with the step; a lost connection is for others to explain."""
    state = error.sqlstate or ""
    if not state or state.startswith(("08", "57", "53", "40")):
        raise error
    facts: dict[str, object] = {
        "step": step.key,
        "statement": "; ".join(step.texts),
        "server said": error.diag.message_primary or str(error),
    }
    facts |= {
        name: text
        for name, text in (("detail", error.diag.message_detail), ("hint", error.diag.message_hint))
        if text
    }
    return Failed(
        f"The server refused a step: {step.what}.",
        facts=facts,
        remedy="the steps before it are kept, this one changed nothing. Correct the file by what the server said, and run "
        "the same command again.",
    )


@contextmanager
def _alone(conn: Connection, world: World) -> Iterator[None]:
    """One apply at a time for a hypertable, and none beside a command that works on its rollout."""
    oid = world.state.oid % 2**31
    if not db.fetch_value(conn, "SELECT pg_try_advisory_lock(%s, %s)", [APPLY_LOCK, oid]):
        raise Conflict(
            f"Another `hyperferry apply` works on {world.state.name}.",
            remedy="wait for it; what it did is seen then.",
        )
    try:
        if world.early and world.rollout is not None and (who := worker_of(conn, world.rollout)):
            raise Conflict(
                f"Another hyperferry works on the rollout of {world.rollout.table}.",
                facts={"by": who},
                remedy="wait for it, or stop it (Ctrl-C keeps its work).",
            )
        yield
    finally:
        if not conn.closed:
            db.execute(conn, "SELECT pg_advisory_unlock(%s, %s)", [APPLY_LOCK, oid])


def _record(conn: Connection, rollout: Rollout | None, step: Step) -> None:
    """An event of the rollout, where there is one: what became of the hypertable beside it."""
    if rollout is not None:
        store.event(conn, rollout.id, "applied", {"key": step.key, "what": step.what})
