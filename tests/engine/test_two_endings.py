"""The end of a rollout beside its way back, what was detached meanwhile, and whom a rollback waits for."""

from __future__ import annotations

import re
from typing import Any

import pytest
from job import HOURS, Job, Make

from hyperferry import gates
from hyperferry.errors import HyperferryError, LockUnavailable, Refused
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase
from hyperferry.strategies import ending

OPTIONS = PlanOptions(chunk_interval="7 days", workers=1)
TRIGGERS = (
    "SELECT pg_get_triggerdef(g.oid) FROM pg_trigger g WHERE tgname LIKE 'hyperferry\\_%%' "
    "AND tgrelid = (SELECT min(inhrelid) FROM pg_inherits WHERE inhparent = 't'::regclass)"
)


@pytest.fixture
def served(job: Make) -> Job:
    """Cut over: the hypertable serves."""
    own = job(HOURS, options=OPTIONS)
    own.start()
    own.cutover()
    return own


def test_a_rollback_does_not_swap_when_a_finish_has_begun(served: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks when it begins; what kept others from working may be gone afterwards, with its session."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ending, "_bare_chunks", interrupted)
        with pytest.raises(KeyboardInterrupt):
            served.finish()
    monkeypatch.setattr(gates, "refuse_half_finished", lambda *_: None)
    with pytest.raises(HyperferryError, match="a finish has ended the capture of changes by now"):
        served.rollback()
    assert served.phase() == "cut_over"
    monkeypatch.undo()
    assert served.finish().phase is Phase.FINISHED


def test_a_finish_does_not_begin_when_a_rollback_has_swapped(served: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ending.refuse_dependents

    def meanwhile(*args: Any) -> None:
        before(*args)
        served.run("UPDATE hyperferry.rollout SET phase = 'rolled_back'")

    monkeypatch.setattr(ending, "refuse_dependents", meanwhile)
    with pytest.raises(Refused, match="in another phase by now"):
        served.finish()
    served.run("UPDATE hyperferry.rollout SET phase = 'cut_over'")
    assert served.value("SELECT count(*) FROM hyperferry.event WHERE kind = 'finishing'") == 0
    served.run("INSERT INTO t VALUES (1000, '2024-02-01', 'noted')")
    served.rollback()
    assert served.value("SELECT count(*) FROM t WHERE id = 1000") == 1


def detached(job: Job) -> None:
    """As a chunk that was detached: a table with the triggers of one, and no child of the hypertable any more."""
    definitions = job.db.execute(TRIGGERS)
    assert definitions
    job.db.execute("CREATE TABLE archived AS SELECT * FROM t LIMIT 5")
    for (definition,) in definitions:
        job.db.execute(re.sub(r" ON [\w.\"]+ ", " ON archived ", definition, count=1))


@pytest.mark.parametrize("back", [False, True])
def test_a_chunk_that_was_detached_is_in_no_endings_way(served: Job, back: bool) -> None:
    detached(served)
    if back:
        served.rollback()
        assert served.abort().phase is Phase.ABORTED
    else:
        assert served.finish().phase is Phase.FINISHED
    assert served.db.execute("SELECT count(*) FROM archived") == [(5,)]
    assert served.db.execute("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'hyperferry\\_%'") == [(0,)]
    served.db.execute("INSERT INTO archived SELECT * FROM archived")


@pytest.fixture
def waiting(job: Make) -> Job:
    """Cut over; that older snapshots do not matter was not accepted."""
    own = job(HOURS, options=OPTIONS)
    own.start()
    own.cutover(accept=frozenset({"widened-key"}))
    own.db.execute("CREATE TABLE other ()")
    return own


def test_a_rollback_waits_for_who_would_not_see_what_it_brings(waiting: Job) -> None:
    """A session in REPEATABLE READ with a snapshot from before reads the plain table as it was then: without what the rollback,
    or a `sync` since, applied to it. The emergency exit is named."""
    with waiting.db.connect(autocommit=False, application_name="report") as session:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT count(*) FROM other")
        waiting.run("INSERT INTO t VALUES (1000, '2024-02-01', 'new')")
        with pytest.raises(LockUnavailable, match="older than the swap") as caught:
            waiting.rollback(attempts=2)
        assert f"pid {session.info.backend_pid} " in str(caught.value)
        assert "--accept snapshot-transactions" in str(caught.value.remedy)
        accepted = frozenset({"snapshot-transactions"})
        assert waiting.rollback(attempts=1, accept=accepted).phase is Phase.ROLLED_BACK
        session.rollback()
    assert waiting.value("SELECT count(*) FROM t WHERE id = 1000") == 1


def test_what_a_session_saw_before_the_rollback_it_sees_after_it(waiting: Job) -> None:
    """Committed before its snapshot, applied to the plain table after it: it would be gone for that session."""
    waiting.run("INSERT INTO t VALUES (1000, '2024-02-01', 'new')")
    with waiting.db.connect(autocommit=False) as session:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT count(*) FROM other")
        with pytest.raises(LockUnavailable):
            waiting.rollback(attempts=1)
        assert session.execute("SELECT count(*) FROM t WHERE id = 1000").fetchall() == [(1,)]


def test_a_rollback_says_who_will_not_see_what_it_brings_where_that_was_accepted(served: Job) -> None:
    """At the cutover, by `all`."""
    served.db.execute("CREATE TABLE other ()")
    with served.db.connect(autocommit=False, application_name="report") as session:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT count(*) FROM other")
        served.run("INSERT INTO t VALUES (1000, '2024-02-01', 'new')")
        served.rollback()
        [said] = [line for line in served.said if "snapshot of before the rollback" in line]
        assert said.startswith("1 session in a transaction")
        assert "application report" in said
        session.rollback()
    assert served.value("SELECT count(*) FROM t WHERE id = 1000") == 1


@pytest.mark.parametrize(("cache", "step"), [(1, 1), (100, 1), (50, 10)])
def test_numbers_that_sessions_still_draw_from_the_old_identity_are_not_drawn_again(job: Make, cache: int, step: int) -> None:
    """Each takes as many at a time as the cache has."""
    own = job(
        f"CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY (CACHE {cache} INCREMENT {step}) PRIMARY KEY, at timestamptz NOT NULL, v text);"
        "INSERT INTO t (at, v) SELECT timestamptz '2024-01-01' + i * interval '1 hour', 'row' FROM generate_series(1, 300) AS i",
        options=OPTIONS,
    )
    own.start()
    old = own.value("SELECT pg_get_serial_sequence('t', 'id')::regclass::oid::bigint")
    own.cutover()
    drawn = set()
    for _ in range(20):
        with own.db.connect() as session:  # each of its own cache
            drawn |= {session.execute("SELECT nextval(%s::oid::regclass)", [old]).fetchone()[0] for _ in range(3)}  # type: ignore[index]
    own.run("INSERT INTO t (at) SELECT timestamptz '2024-03-01' FROM generate_series(1, 500)")
    assert not {row[0] for row in own.run("SELECT id FROM t WHERE v IS NULL")} & drawn
