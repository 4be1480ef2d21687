"""Shadow reads: what the application gets is the table of record's; differences are found, lag is told from them, nothing is raised."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import func, select, true
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, aliased, joinedload, selectinload, sessionmaker

from hyperferry.sqlalchemy import ShadowReads, by_psycopg
from hyperferry.sqlalchemy.compare import Outcome
from hyperferry.sqlalchemy.metrics import Counted, export

from .conftest import LATE, Place, Player, PlayerStat

Shadowed = Callable[..., tuple[sessionmaker[Session], ShadowReads]]
LATEST = select(PlayerStat.id).where(PlayerStat.id == LATE)
SLOW = (
    "CREATE FUNCTION slow() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(CASE current_setting(''application_name'') "
    "WHEN ''hyperferry shadow reads'' THEN {} ELSE 0 END)'"
)
"""Takes so many seconds when it is read again, and none for the application."""


@pytest.fixture
def shadowed(place: Place) -> Shadowed:
    def make(**options: Any) -> tuple[sessionmaker[Session], ShadowReads]:
        options = {"percent": 100, "recheck_after": 0.1, "registry": CollectorRegistry()} | options
        shadow = ShadowReads(place.db.dsn_as(place.app), **options)
        sessions = place.sessions()
        place.route(sessions, flag=lambda: False, shadow=shadow)
        return sessions, shadow

    return make


def outcomes(shadow: ShadowReads) -> dict[str, int]:
    assert shadow.wait(60)
    return {outcome: count for outcome, count in shadow.stats().outcomes.items() if count}


def test_both_sides_are_compared(place: Place, shadowed: Shadowed) -> None:
    """Every statement that reads the table and nothing else; parameters, lazy loads and streams included."""
    sessions, shadow = place.start() and shadowed()
    with sessions() as session:
        player = session.scalar(select(Player).where(Player.id == 1))  # does not read the table
        assert len(player.stats) == 100
        session.scalars(select(PlayerStat).where(PlayerStat.id.in_([1, 2, 3]))).all()
        session.scalars(select(Player).options(selectinload(Player.stats))).all()
        session.scalars(select(Player).options(joinedload(Player.stats))).unique().all()
        session.execute(
            select(PlayerStat.player_id, func.avg(PlayerStat.value)).group_by(PlayerStat.player_id)
        ).all()
        session.scalars(select(PlayerStat).execution_options(yield_per=100)).all()
        session.scalars(select(PlayerStat).limit(1)).all()  # any row will do: not comparable
        session.scalar(select(PlayerStat.id).where(PlayerStat.id == 1).with_for_update())
    assert outcomes(shadow) == {"same": 6, "skipped": 1}
    stats = shadow.stats()
    assert [sum(stats.buckets[side]) for side in ("record", "other")] == [6, 6]
    assert min(stats.seconds.values()) > 0


def test_lag_is_no_difference(place: Place, shadowed: Shadowed) -> None:
    """A row that is on its way is looked at again; one that stays different is one; one that does not arrive is neither."""
    sessions, shadow = place.start() and shadowed(rechecks=600)
    place.late()
    with sessions() as session:
        assert session.scalar(LATEST) == LATE  # at once, and the right one
        time.sleep(0.5)
        assert shadow.stats().outcomes["lag"] == 0
        place.sync()
        assert outcomes(shadow) == {"lag": 1}
        place.db.execute("UPDATE hyperferry_new_1.player_stats SET value = -5 WHERE id = 5")
        assert session.scalar(select(PlayerStat.value).where(PlayerStat.id == 5)) == 5
        assert outcomes(shadow) == {"lag": 1, "different": 1}


def test_a_difference_is_found_while_other_rows_are_on_their_way(
    place: Place, shadowed: Shadowed, caplog: pytest.LogCaptureFixture
) -> None:
    sessions, shadow = place.start() and shadowed(rechecks=600)
    place.db.execute("UPDATE hyperferry_new_1.player_stats SET value = -5 WHERE id = 5")
    place.late()
    with sessions() as session:
        assert len(session.scalars(select(PlayerStat)).all()) == 901
    time.sleep(0.3)
    assert shadow.stats().outcomes["different"] == 0
    place.sync()
    assert outcomes(shadow) == {"different": 1}
    assert "both sides differ for: SELECT" in caplog.text
    assert "-5" not in caplog.text


def test_rows_that_are_late_one_after_the_other_are_no_difference(place: Place, shadowed: Shadowed) -> None:
    """When it is looked at again the first has arrived, and another is on its way."""
    sessions, shadow = place.start() and shadowed(recheck_after=3600.0)
    place.late()
    with sessions() as session:
        assert len(session.scalars(select(PlayerStat)).all()) == 901
    end = time.monotonic() + 60
    while not (sum(shadow.stats().buckets["other"]) and shadow._jobs):  # looked at once, and kept for later
        assert time.monotonic() < end
        time.sleep(0.01)
    place.sync()
    place.db.execute(f"INSERT INTO player_stats VALUES ({LATE + 1}, '2024-01-02', 1, 1)")
    assert shadow.stats().outcomes["lag"] == 0
    with shadow._ready:  # now, and not in an hour
        shadow._jobs[:] = [(0.0, order, job) for _, order, job in shadow._jobs]
        shadow._ready.notify_all()
    assert outcomes(shadow) == {"lag": 1}


def test_changes_that_do_not_arrive(place: Place, shadowed: Shadowed) -> None:
    sessions, shadow = place.start() and shadowed(rechecks=2)
    place.late()
    with sessions() as session:
        session.scalar(LATEST)
    assert outcomes(shadow) == {"unsettled": 1}


def test_too_many_are_dropped_and_counted(place: Place, shadowed: Shadowed) -> None:
    """The caller waits for none of them."""
    sessions, shadow = place.start() and shadowed(waiting=3)
    place.db.execute(SLOW.format(2))
    with sessions() as session:
        session.scalar(select(PlayerStat.id + func.slow()).where(PlayerStat.id == 1))
        for number in range(20):
            session.scalar(select(PlayerStat.id).where(PlayerStat.id == number))
    found = outcomes(shadow)
    assert found["dropped"] >= 15
    assert sum(found.values()) == 21


def test_a_server_that_does_not_answer_keeps_no_request_waiting(place: Place) -> None:
    """The connection is made in the background, and nothing of the request's waits for it."""
    place.start()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        shadow = ShadowReads(f"host=127.0.0.1 port={silent.getsockname()[1]} sslmode=disable gssencmode=disable", percent=100)
        sessions = place.sessions()
        place.route(sessions, flag=lambda: False, shadow=shadow)
        longest = 0.0
        for number in range(10):
            with sessions() as session:
                began = time.monotonic()
                session.scalar(select(PlayerStat.id).where(PlayerStat.id == number))
                longest = max(longest, time.monotonic() - began)
            time.sleep(0.05)
        assert longest < 3, "a connection is waited for five seconds"
        shadow.close()


def test_nothing_is_left_in_a_session_that_somebody_else_gets(place: Place, shadowed: Shadowed) -> None:
    """Behind a pooler the application has it next: no limit of ours may be in it."""
    sessions, shadow = place.start() and shadowed()
    with sessions() as session:
        session.scalar(LATEST)
    assert outcomes(shadow) == {"same": 1}
    assert shadow._engine is not None
    with shadow._engine.connect() as conn:
        conn.rollback()
        settings = ("lock_timeout", "statement_timeout", "default_transaction_read_only")
        assert [conn.exec_driver_sql(f"SHOW {name}").scalar() for name in settings] == ["0", "0", "off"]
    source = by_psycopg(place.db.dsn_as(place.app))
    assert source('"player_stats"') is not None
    held: Any = source
    assert [held._conn.execute(f"SHOW {name}").fetchone() for name in settings] == [("0",), ("0",), ("off",)]


def test_what_goes_wrong_is_counted_and_not_raised(place: Place, shadowed: Shadowed) -> None:
    sessions, shadow = place.start() and shadowed(timeout=2.0)
    place.db.execute(SLOW.format(30))
    with sessions() as session:
        assert session.scalar(select(PlayerStat.id + func.slow()).where(PlayerStat.id == 1)) == 2
        assert outcomes(shadow) == {"failed": 1}
        session.rollback()
        place.abort()
        session.scalar(LATEST)  # nobody has looked since: the other side is gone
    found = outcomes(shadow)
    assert found.get("gone", 0) == 1 or found == {"failed": 1}, found
    shadow.close()
    with sessions() as session:
        assert session.scalar(LATEST) is None


def test_after_the_cutover_the_old_table_is_the_other_side(place: Place) -> None:
    """By an async application, whose statements are compared by psycopg; and for Prometheus."""
    import asyncio

    place.start().cutover()
    registry = CollectorRegistry()
    shadow = ShadowReads(place.db.dsn_as(place.app), percent=100, registry=registry)

    async def requests() -> None:
        made = create_async_engine(place.url("asyncpg"))
        sessions = async_sessionmaker(made)
        place.route(sessions, flag=lambda: True, shadow=shadow)
        async with sessions() as session:
            await session.scalars(select(PlayerStat).where(PlayerStat.id.in_([5, 6]), PlayerStat.value > 2))
            await session.get(PlayerStat, 9)
        await made.dispose()

    asyncio.run(requests())
    assert outcomes(shadow) == {"same": 2}
    labels = {"tables": "player_stats", "outcome": "same"}
    assert registry.get_sample_value("hyperferry_shadow_reads_total", labels) == 2
    took = {"tables": "player_stats", "side": "other", "le": "+Inf"}
    assert registry.get_sample_value("hyperferry_shadow_read_seconds_bucket", took) == 2
    place.db.execute("UPDATE hyperferry_old_1.player_stats SET value = 0 WHERE id = 9")

    async def again() -> None:
        made = create_async_engine(place.url("asyncpg"))
        sessions = async_sessionmaker(made)
        later = ShadowReads(place.db.dsn_as(place.app), percent=100, registry=registry)
        place.route(sessions, flag=lambda: True, shadow=later)
        async with sessions() as session:
            await session.get(PlayerStat, 9)
        await made.dispose()
        assert outcomes(later) == {"different": 1}

    asyncio.run(again())


def test_without_prometheus_client_there_are_the_stats() -> None:
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from hyperferry.sqlalchemy import ShadowReads\n"
        "print(ShadowReads('host=127.0.0.1').stats().outcomes['same'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_of_a_long_result_no_more_is_fetched_than_is_compared(place: Place, shadowed: Shadowed) -> None:
    """An export that the application streams: 729 million rows, of which psycopg would fetch all."""
    sessions, shadow = place.start() and shadowed(timeout=20, max_rows=50)
    one, two, three = (aliased(PlayerStat) for _ in range(3))
    with sessions() as session:
        rows = session.execute(
            select(one.id, two.id, three.id).select_from(one).join(two, true()).join(three, true()),
            execution_options={"yield_per": 10},
        )
        assert len(rows.fetchmany(3)) == 3
        rows.close()
    assert outcomes(shadow) == {"skipped": 1}


def test_two_hooks_on_one_table_are_one_series() -> None:
    registry = CollectorRegistry()
    both = [Counted(), Counted()]
    for number, counted in enumerate(both, 1):
        counted.tables = ("player_stats",)
        export(counted, registry)
        for _ in range(number):
            counted.add(Outcome.SAME)
        counted.took({"record": 0.5, "other": 0.002})
    labels = {"tables": "player_stats"}
    assert registry.get_sample_value("hyperferry_shadow_reads_total", {**labels, "outcome": "same"}) == 3
    assert registry.get_sample_value("hyperferry_shadow_read_seconds_count", {**labels, "side": "record"}) == 2
    assert registry.get_sample_value("hyperferry_shadow_read_seconds_sum", {**labels, "side": "record"}) == 1.0
    lines = [line for line in generate_latest(registry).decode().splitlines() if 'outcome="same"' in line]
    assert len(lines) == 1
