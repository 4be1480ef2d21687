"""What a request meets at the moment of a swap: what is known of the rollout is out of date, and the other side's name is gone."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload, sessionmaker

from hyperferry import engine
from hyperferry.flag import Flag
from hyperferry.sqlalchemy import by_psycopg, route_reads

from .conftest import LATE, Place, Player, PlayerStat

LATEST = select(PlayerStat.id).where(PlayerStat.id == LATE)


def test_through_all_phases(place: Place) -> None:
    """The flag says which side; the table of record is read where the other cannot be."""
    on = True
    sessions = place.sessions()
    reads = place.route(sessions, flag=lambda: on)

    def seen(late: int) -> list[bool]:
        """Whether the row is seen with the flag off and on."""
        nonlocal on
        reads.refresh()
        found = []
        for flag in (False, True):
            on = flag
            with sessions() as session:
                found.append(session.scalar(select(PlayerStat.id).where(PlayerStat.id == late)) == late)
        return found

    def add(late: int) -> int:
        place.db.execute(f"INSERT INTO player_stats VALUES ({late}, '2024-01-02', 1, 1)")
        return late

    place.start()
    assert seen(add(9001)) == [True, False]
    place.cutover()
    assert seen(9001) == [True, True]
    assert seen(add(9002)) == [False, True]
    place.rollback()
    assert seen(9002) == [True, True]
    assert seen(add(9003)) == [True, False]
    place.cutover()
    assert seen(add(9004)) == [False, True]
    place.finish()
    assert seen(9004) == [True, True]


END: dict[str, Callable[[Place], None]] = {
    "cutover": lambda place: place.cutover(),
    "abort": lambda place: place.abort(),
    "finish": lambda place: (place.cutover(), place.finish())[0],
}


def test_a_name_that_is_gone_fails_no_request(place: Place) -> None:
    """With statements prepared on the server, on the same connections as before; sync and async drivers; nobody looked meanwhile."""

    async def requests() -> None:
        sync = sessionmaker(place.engine(connect_args={"prepare_threshold": 0}, pool_size=1))
        makers = {"sync": sync}
        engines = []
        for driver in ("asyncpg", "psycopg"):
            engines.append(create_async_engine(place.url(driver), pool_size=1))
            makers[driver] = async_sessionmaker(engines[-1])
        hooks = [place.route(maker, refresh_seconds=3600) for maker in makers.values()]

        async def sees() -> list[bool]:
            found = []
            for maker in makers.values():
                session: Any = maker()
                answer: Any = session.scalar(LATEST)
                if maker is not sync:
                    answer = await answer
                found.append(answer == LATE)
                done = session.close()
                if maker is not sync:
                    await done
            return found

        assert await sees() == [True] * 3
        for hook in hooks:
            hook.refresh()
        for name, end in END.items():
            place.db.execute(f"DELETE FROM player_stats WHERE id = {LATE}")
            place.start().late()
            for hook in hooks:
                hook.refresh()
            for _ in range(3):
                assert await sees() == [False] * 3, name
            end(place)
            for _ in range(3):
                assert await sees() == [True] * 3, name
            if name == "cutover":
                place.rollback()
                place.abort()
        for each in engines:
            await each.dispose()

    place.late()
    asyncio.run(requests())


def test_a_transaction_that_read_the_other_side_keeps_it(place: Place) -> None:
    """The swap waits for it, as it does for every reader of the table, and gives way meanwhile."""
    place.start()
    sessions = place.sessions()
    reads = place.route(sessions)
    with sessions() as session:
        session.scalar(LATEST)
        # Both, so that a swap that has waited for the table finds the other side free, however many read it.
        assert place.db.execute(
            "SELECT DISTINCT relation::regclass::text FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = "
            "current_database()) AND mode = 'AccessShareLock' AND relation::regclass::text ~ 'player_stats$' "
            "AND pid <> pg_backend_pid() ORDER BY 1"
        ) == [("hyperferry_new_1.player_stats",), ("player_stats",)]
        swap = threading.Thread(target=place.cutover, daemon=True)
        swap.start()
        for count in range(10):
            time.sleep(0.05)
            session.scalar(LATEST)
            assert reads.routed == 2 + count
        assert swap.is_alive()
    swap.join(60)
    assert not swap.is_alive()
    with sessions() as session:
        session.scalar(LATEST)
    assert reads.routed == 11


def test_async_sessions(place: Place) -> None:
    """Streams, relationships and writes, by asyncpg."""
    place.start().late()

    async def requests() -> None:
        made = create_async_engine(place.url("asyncpg"))
        sessions = async_sessionmaker(made)
        place.route(sessions)
        async with sessions() as session:
            found = await session.stream_scalars(select(PlayerStat.id).execution_options(yield_per=100))
            assert LATE not in [each async for each in found]
            one = await session.scalar(
                select(Player).where(Player.id == 1).options(selectinload(Player.stats))
            )
            assert one is not None
            assert LATE not in [each.id for each in one.stats]
            await session.execute(update(PlayerStat).where(PlayerStat.id == LATE).values(value=5))
            await session.commit()
            assert await session.scalar(LATEST) == LATE
        await made.dispose()

    asyncio.run(requests())
    assert place.db.execute(f"SELECT value FROM player_stats WHERE id = {LATE}") == [(5,)]


def test_lag(place: Place) -> None:
    """Beyond max_lag the table of record is read, until the changes have been carried over."""
    place.start()
    sessions = place.sessions()
    reads = place.route(sessions, max_lag=1.0, refresh_seconds=0.05)

    def routed() -> bool:
        before = reads.routed
        with sessions() as session:
            session.scalar(LATEST)
        return reads.routed > before

    def until_routed() -> None:
        deadline = time.monotonic() + 60
        while not routed():  # a look may come late, too
            assert time.monotonic() < deadline
            time.sleep(0.05)

    until_routed()
    place.late()
    time.sleep(1.1)  # from then on no look can say that the change is younger
    assert not routed()
    with sessions() as session:
        assert session.scalar(LATEST) == LATE
    place.sync()
    until_routed()


def test_a_role_that_may_not(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """The table of record is read, one line says why, and what is granted later is seen."""
    place.start().late()
    other = place.db.make_role()
    place.db.execute(f'GRANT SELECT ON player_stats, hyperferry_new_1.player_stats TO "{other}"')
    place.app, was = other, place.app
    sessions = place.sessions()
    with caplog.at_level(logging.WARNING, "hyperferry.sqlalchemy"):
        reads = place.route(sessions, refresh_seconds=0.05)
        with sessions() as session:
            assert session.scalar(LATEST) == LATE
        time.sleep(0.3)
    (record,) = [each for each in caplog.records if each.name == "hyperferry.sqlalchemy"]
    assert 'a rollout of "player_stats" seems to run, but this role may not ask' in record.getMessage()
    place.allow()
    reads.refresh()
    with sessions() as session:
        assert session.scalar(LATEST) is None
        session.rollback()
        place.db.execute(f'REVOKE USAGE ON SCHEMA hyperferry_new_1 FROM "{other}"')
        assert session.scalar(LATEST) == LATE  # though nobody has looked since
    reads.refresh()
    assert "this role may not read it" in caplog.text
    place.app = was


def test_a_table_with_row_level_security_is_not_routed(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.start().late()
    place.db.execute(
        "ALTER TABLE player_stats ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON player_stats USING (id > 5)"
    )
    sessions = place.sessions()
    place.route(sessions)
    with sessions() as session:
        assert session.scalar(LATEST) == LATE
        assert session.scalar(select(func.min(PlayerStat.id))) == 6
    assert "row level security is on" in caplog.text


def test_a_share_is_the_same_for_a_session_and_for_a_key(place: Place) -> None:
    place.start().late()
    sessions, keyed = place.sessions(), place.sessions()
    environ = {"USE_HYPERTABLES": "50%"}
    place.route(sessions, flag=Flag(environ=environ))
    place.route(keyed, flag=Flag(environ=environ), key=lambda session: session.info["user"])

    def answers(made: Any) -> set[bool]:
        with made as session:
            return {session.scalar(LATEST) is None for _ in range(5)}

    assert {tuple(answers(sessions())) for _ in range(40)} == {(True,), (False,)}
    by_user = {
        user: {each for _ in range(3) for each in answers(keyed(info={"user": user}))} for user in range(30)
    }
    assert {len(found) for found in by_user.values()} == {1}
    assert {found for each in by_user.values() for found in each} == {True, False}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_looks_for_itself(place: Place) -> None:
    """Servers load the application, and then fork; a rollout that begins later is seen by the child, from its first session on.
    One that makes no session connects to nothing."""
    code = (
        "import os, sys, time; from sqlalchemy import Column, Integer, MetaData, Table; from sqlalchemy.orm import sessionmaker\n"
        "from hyperferry.sqlalchemy import by_psycopg, route_reads\n"
        "sessions = sessionmaker(); table = Table('player_stats', MetaData(), Column('id', Integer))\n"
        "reads = route_reads(sessions, table, flag=lambda: True, source=by_psycopg(sys.argv[1]), refresh_seconds=0.1)\n"
        "reads.refresh(); own = sessions.class_; child = os.fork()\n"
        "if child == 0:\n"
        "    print('ready', flush=True); sys.stdin.readline(); end = time.monotonic() + 100\n"
        "    sessions(); known = lambda: reads.states()\n"
        "    while not known() and time.monotonic() < end: time.sleep(0.05)\n"
        "    print('seen' if known() and '__init__' in vars(own) else 'not seen', flush=True); sys.stdin.readline(); os._exit(0)\n"
        "os.waitpid(child, 0)\n"
    )
    dsn = place.db.dsn_as(place.app)
    process = subprocess.Popen([sys.executable, "-c", code, dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        place.start()
        time.sleep(0.5)
        looks = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hyperferry reads' AND datname = current_database()"
        assert place.db.execute(looks) == [(1,)], "the parent's alone"
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "seen\n"
        assert place.db.execute(looks) == [(2,)]
        process.stdin.write("end\n")
        process.stdin.flush()
        assert process.wait() == 0
    finally:
        process.kill()
        process.communicate()


def test_a_flag_that_fails_fails_no_request(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.start().late()
    sessions = place.sessions()
    place.route(sessions, flag=lambda: {}["missing"])
    for _ in range(2):
        with sessions() as session:
            assert session.scalar(LATEST) == LATE
    assert caplog.text.count("the flag cannot be asked") == 1


def test_load_through_a_whole_rollout(place: Place) -> None:
    """Readers and writers, sync and async, through cutover, rollback, cutover and finish: nobody meets an error, and whoever
    wrote sees what he wrote."""
    errors: list[BaseException] = []
    done: Counter[str] = Counter()
    stop = threading.Event()
    sessions = place.sessions()
    on = [True]
    reads = place.route(sessions, flag=lambda: on[0], refresh_seconds=0.2)

    def reader() -> None:
        while not stop.is_set():
            with sessions() as session:
                who = session.scalar(select(Player).where(Player.id == random.randint(1, 9)))
                assert who is not None
                done["read"] += len(who.stats) > 0
                assert session.scalar(select(func.count()).select_from(PlayerStat)) >= 900
            time.sleep(0.02)

    def writer(number: int) -> None:
        key = number * 1_000_000
        while not stop.is_set():
            key += 1
            with sessions.begin() as session:
                session.get(PlayerStat, random.randint(1, 900))
                session.add(PlayerStat(id=key, game_date="2024-01-05", player_id=2, value=1))
                session.flush()
                assert session.scalar(select(func.count()).where(PlayerStat.id == key)) == 1
            done["written"] += 1
            time.sleep(0.02)

    def asynchronous() -> None:
        async def run() -> None:
            made = create_async_engine(place.url("asyncpg"))
            factory = async_sessionmaker(made)
            hook = route_reads(
                factory,
                PlayerStat,
                flag=lambda: on[0],
                source=by_psycopg(place.db.dsn_as(place.app)),
                max_lag=None,
                refresh_seconds=0.2,
            )
            key = 50_000_000
            while not stop.is_set():
                key += 1
                async with factory.begin() as session:
                    assert len((await session.scalars(select(PlayerStat).limit(20))).all()) == 20
                    await session.execute(
                        insert(PlayerStat).values(id=key, game_date=func.now(), player_id=3, value=1)
                    )
                done["async"] += 1
                done["async routed"] = hook.routed
                await asyncio.sleep(0.02)
            hook.close()
            await made.dispose()

        asyncio.run(run())

    def guarded(work: Callable[..., None], *args: int) -> threading.Thread:
        def run() -> None:
            try:
                work(*args)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    place.start()
    reads.refresh()
    until_synced = threading.Thread(target=lambda: _keep_synced(place, stop), daemon=True)
    threads = [guarded(reader), guarded(reader), guarded(writer, 10), guarded(asynchronous)]
    until_synced.start()
    counted = []
    for act in (place.cutover, place.rollback, place.cutover, place.finish):
        before, end = reads.routed, time.monotonic() + 60
        time.sleep(0.8)
        while (reads.routed == before or not done["async routed"]) and not errors and time.monotonic() < end:
            time.sleep(0.05)
        counted.append(reads.routed - before)
        act()
        on[0] = not on[0]  # so that there is something to route after each
    time.sleep(0.5)
    end = time.monotonic() + 60
    while min(done["read"], done["written"]) <= 20 and not errors and time.monotonic() < end:
        time.sleep(0.05)
    stop.set()
    for thread in [*threads, until_synced]:
        thread.join(60)
    assert errors == []
    assert min(counted) > 0, counted
    assert done["read"] > 20 < done["written"]
    assert done["async routed"] > 0
    (rows,) = place.db.execute("SELECT count(*) FROM player_stats WHERE id >= 10000000 AND id < 50000000")[0]
    assert rows == done["written"]


def _keep_synced(place: Place, stop: threading.Event) -> None:
    while not stop.wait(0.3):
        try:
            engine.sync(place.db.dsn, "player_stats", until_empty=True, say=lambda line: None)
        except Exception:  # between two phases it is refused
            time.sleep(0.1)
