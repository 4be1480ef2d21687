"""Ways in for writes that no trigger of ours sees: none of them is swapped over (I1, I5, I7)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from job import Job
from swap_support import (
    Ready,
    before_swap_message,
    ready_fixture,  # noqa: F401
    refused,
    templates_fixture,  # noqa: F401
)

from hyperferry import engine
from hyperferry.errors import Refused, SchemaChanged
from hyperferry.model.rollout import Phase
from servers import Database

CHILD = "CREATE TABLE t_child () INHERITS (t); INSERT INTO t_child (at, n) VALUES ('2024-01-15', 1)"


def subscribe(db: Database, table: str = "t") -> None:
    """A subscription that writes into the table, as the catalogs show it. There is no publisher."""
    db.execute("CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false, slot_name = NONE)")
    db.execute(
        "SET allow_system_table_mods = on; INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) "
        f"SELECT oid, '{table}'::regclass, 'r' FROM pg_subscription WHERE subdbid = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )


@pytest.fixture(name="unsubscribed")
def unsubscribed_fixture(ready: Ready) -> Iterator[Ready]:
    """`ready`, without the subscription at the end: a database that has one cannot be dropped."""
    jobs: list[Job] = []

    def make() -> Job:
        jobs.append(ready())
        return jobs[-1]

    yield make
    for job in jobs:
        job.db.execute("DROP SUBSCRIPTION IF EXISTS s")


def test_a_child_table_made_after_the_start_stops_the_cutover(ready: Ready) -> None:
    """Its rows are seen through the table, and would be no longer."""
    job = ready()
    job.db.execute(CHILD)
    with refused(job, Refused, "inheritance parent"):
        job.cutover()
    assert any("inheritance parent" in text for text in engine.cutover_dry_run(job.db.dsn, "t").refusals)
    job.db.execute("DROP TABLE t_child")
    assert job.cutover().phase is Phase.CUT_OVER


def test_a_child_table_made_at_the_last_moment_stops_the_cutover(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made after everything that is looked at beforehand: the look under the lock finds it."""
    job = ready()
    seen = before_swap_message(monkeypatch, lambda conn: job.db.execute(CHILD))
    with pytest.raises(SchemaChanged, match="a child table"):
        job.cutover()
    assert len(seen) == 1
    assert job.phase() == "synced"
    assert job.value("SELECT count(*) FROM t") == 401


def test_a_subscription_made_after_the_start_stops_the_cutover(unsubscribed: Ready) -> None:
    """Triggers by statement do not fire for what it writes."""
    job = unsubscribed()
    subscribe(job.db)
    with refused(job, Refused, "The subscription s writes"):
        job.cutover()
    job.db.execute("DROP SUBSCRIPTION s")
    assert job.cutover().phase is Phase.CUT_OVER


def test_a_subscription_made_at_the_last_moment_stops_the_cutover(
    unsubscribed: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = unsubscribed()
    seen = before_swap_message(monkeypatch, lambda conn: subscribe(job.db))
    with pytest.raises(SchemaChanged, match="a subscription writes"):
        job.cutover()
    assert len(seen) == 1
    assert job.phase() == "synced"


@pytest.mark.parametrize("where", ["hypertable", "chunk"])
def test_a_subscription_on_the_hypertable_stops_the_rollback(
    unsubscribed: Ready, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The triggers of a hypertable do not fire for what it writes, into the root or into a chunk."""
    job = unsubscribed()
    job.cutover()
    target = "t" if where == "hypertable" else str(job.value("SELECT c::text FROM show_chunks('t') AS c LIMIT 1"))
    seen = before_swap_message(monkeypatch, lambda conn: subscribe(job.db, target))
    with pytest.raises(SchemaChanged, match="a subscription writes"):
        job.rollback()
    assert len(seen) == 1
    if where == "hypertable":
        with pytest.raises(Refused, match="The subscription s writes"):
            job.rollback()
    job.db.execute("DROP SUBSCRIPTION s")
    assert job.rollback().phase is Phase.ROLLED_BACK
