"""Which side a statement reads. LATE is a row that the other side lacks: who sees it, read the table of record."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    column,
    create_engine,
    delete,
    event,
    exists,
    func,
    insert,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.orm import (
    Session,
    aliased,
    joinedload,
    relationship,
    scoped_session,
    selectinload,
    sessionmaker,
)

from hyperferry.flag import Flag
from hyperferry.flag import by_psycopg as by_psycopg_of_the_flag
from hyperferry.flag.setting import put
from hyperferry.sqlalchemy import ShadowReads
from servers import drop_database, make_database

from .conftest import LATE, MAKE, Base, Place, Player, PlayerStat


def sees(session: Session) -> bool:
    return session.scalar(select(PlayerStat.id).where(PlayerStat.id == LATE)) == LATE


Reading = Callable[[Session], bool]
Own = aliased(PlayerStat)
table = PlayerStat.__table__
some = select(PlayerStat).where(PlayerStat.id >= 890)

READ: dict[str, Reading] = {
    "entity": lambda s: LATE in [each.id for each in s.scalars(some)],
    "get": lambda s: s.get(PlayerStat, LATE) is not None,
    "aliased": lambda s: s.scalar(select(func.count()).select_from(Own).where(Own.id == LATE)) == 1,
    "subquery": lambda s: s.scalar(select(func.count()).select_from(some.subquery())) == 12,
    "cte": lambda s: s.scalar(select(func.max(some.cte("chosen").c.id))) == LATE,
    "union": lambda s: LATE in s.scalars(union_all(select(table.c.id), select(table.c.id))).all(),
    "correlated": lambda s: (
        s.scalar(
            select(Player.name).where(exists().where(PlayerStat.player_id == Player.id, PlayerStat.id > 9000))
        )
        is not None
    ),
    "in": lambda s: s.scalars(select(PlayerStat.id).where(PlayerStat.id.in_([5, LATE]))).all() == [5, LATE],
    "join": lambda s: (
        s.execute(select(Player.name, PlayerStat.id).join(PlayerStat.player).where(PlayerStat.id >= 890))
        .all()[-1]
        .id
        == LATE
    ),
    "core": lambda s: s.execute(select(table).where(table.c.id == LATE)).first() is not None,
    "query": lambda s: s.query(PlayerStat).filter_by(id=LATE).count() == 1,
    "query.get": lambda s: s.query(PlayerStat).filter_by(id=LATE).one_or_none() is not None,
    "lazy": lambda s: LATE in [each.id for each in s.scalar(select(Player).where(Player.id == 1)).stats],
    "selectin": lambda s: (
        LATE
        in [
            x.id
            for x in s.scalar(select(Player).where(Player.id == 1).options(selectinload(Player.stats))).stats
        ]
    ),
    "joined": lambda s: (
        LATE
        in [
            x.id
            for x in s.scalars(select(Player).where(Player.id == 1).options(joinedload(Player.stats)))
            .unique()
            .one()
            .stats
        ]
    ),
    "streamed": lambda s: (
        LATE
        in [
            x.id
            for x in s.scalars(select(PlayerStat).order_by(PlayerStat.id).execution_options(yield_per=50))
        ]
    ),
    "partitions": lambda s: (
        LATE
        in [
            x.id
            for part in s.scalars(select(PlayerStat), execution_options={"stream_results": True}).partitions(
                100
            )
            for x in part
        ]
    ),
}


def test_what_is_read_from_the_other_side(place: Place) -> None:
    """Every kind of SELECT; while no rollout runs, all of them read the table."""
    sessions = place.late().sessions()
    reads = place.route(sessions)
    for name, read in READ.items():
        with sessions() as session:
            assert read(session), f"{name}, without a rollout"
    assert (reads.routed, reads.held_back) == (0, 0)
    assert not is_on(sessions), "while no rollout runs there is no hook"
    place.db.execute(f"DELETE FROM player_stats WHERE id = {LATE}")
    place.start().late()
    reads.refresh()
    for name, read in READ.items():
        with sessions() as session:
            assert not read(session), name
            assert not read(session), f"{name}, again in its transaction"
    assert is_on(sessions)
    reads.close()
    assert not is_on(sessions)
    for name, read in READ.items():
        with sessions() as session:
            assert read(session), f"{name}, closed"


def test_no_hook_while_the_flag_keeps_all_reads_with_the_table(place: Place) -> None:
    """A Flag that says the same to everybody costs nothing where that is the table of record; a change of it is seen by itself."""
    place.start().late()
    environ = {"USE_HYPERTABLES": "off"}
    sessions, shadowed = place.sessions(), place.sessions()
    reads = place.route(sessions, flag=Flag(environ=environ))
    shadow = ShadowReads(place.db.dsn_as(place.app), percent=1)
    place.made.insert(0, shadow.close)
    place.route(shadowed, flag=Flag(environ=environ), shadow=shadow)

    def hooked() -> bool:
        with sessions() as session:
            sees(session)
        return is_on(sessions)

    assert not hooked()
    assert is_on(shadowed), "shadow reads are made while the flag is off"
    for said, expected in (("1%", True), ("off", False), ("on", True)):
        environ["USE_HYPERTABLES"] = said
        assert within(60, lambda expected=expected: hooked() is expected), said
    assert not reads_latest(sessions)
    place.sync()
    place.cutover()
    assert within(60, lambda: not hooked()), "the flag is on, and the hypertable is the table of record now"
    place.db.execute(f"INSERT INTO player_stats VALUES ({LATE + 1}, '2024-01-02', 1, 1)")
    environ["USE_HYPERTABLES"] = "99%"
    assert within(60, hooked)
    environ["USE_HYPERTABLES"] = "off"
    reads.refresh()
    assert not reads_latest(sessions, LATE + 1), "the old table, which nobody keeps in step here"


def test_the_database_turns_the_hook_on_and_off(place: Place) -> None:
    place.start().late()
    flag = Flag(by_psycopg_of_the_flag(place.db.dsn_as(place.app)), environ={}, refresh_seconds=0.1)
    place.made.insert(0, flag.close)
    sessions = place.sessions()
    place.route(sessions, flag=flag)
    assert not is_on(sessions)
    put(place.db.dsn, "on")
    assert within(60, lambda: not reads_latest(sessions))
    put(place.db.dsn, "off")
    assert within(60, lambda: not is_on(sessions))
    assert reads_latest(sessions)


def test_events_of_the_application_stay_whatever_the_hook_does(place: Place) -> None:
    """A listener that is registered while the hook is on counts while it is off too, and the other way round."""
    place.start()
    environ = {"USE_HYPERTABLES": "off"}
    sessions = place.sessions()
    reads = place.route(sessions, flag=Flag(environ=environ), refresh_seconds=60)
    heard: list[str] = []
    for text_, name in (("off", "before"), ("on", "while"), ("off", "after")):
        environ["USE_HYPERTABLES"] = text_
        reads.refresh()
        assert is_on(sessions) is (text_ == "on")
        event.listen(sessions, "after_begin", lambda *_, name=name: heard.append(name))
        with sessions() as session:
            sees(session)
    assert heard == ["before", "before", "while", "before", "while", "after"]


def test_another_database_behind_the_same_sessions(place: Place) -> None:
    """Where nothing can be asked the table of record is read, and the transaction goes on."""
    other = make_database(place.db.server)
    other.execute(MAKE)
    place.start().late()
    elsewhere = create_engine(other.dsn.replace("postgresql:", "postgresql+psycopg:"))
    place.made += [elsewhere.dispose, lambda: drop_database(other)]
    sessions = place.sessions()
    place.route(sessions)
    with sessions(bind=elsewhere) as session:
        assert session.scalar(select(func.count()).select_from(PlayerStat)) == 900
        session.add(Player(id=99, name="still a transaction"))
        session.commit()
    assert not reads_latest(sessions)


def test_a_column_that_the_other_side_lacks(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Added since: who reads it must not meet an error."""
    place.start().late()
    sessions = place.sessions()
    reads = place.route(sessions)
    assert not reads_latest(sessions)
    place.db.execute("ALTER TABLE player_stats ADD COLUMN note text DEFAULT 'x'")
    reads.refresh()
    assert reads_latest(sessions)
    with sessions() as session:
        note: Any = column("note")
        assert session.scalar(select(note).select_from(PlayerStat).where(PlayerStat.id == 5)) == "x"
    assert "it lacks a column that the table has" in caplog.text


def test_what_a_session_leaves_is_collected(place: Place) -> None:
    place.start()
    sessions = place.sessions()
    place.route(sessions)
    kept = []
    for _ in range(5):
        with sessions() as session:
            sees(session)
            kept.append(weakref.ref(session.connection()))
    gc.collect()
    assert [each() for each in kept] == [None] * 5


def test_a_function_that_writes_beside_another_routed_table(place: Place) -> None:
    """Of two tables one has a rollout: what the transaction wrote while it read the other is seen by it all the same."""
    place.db.execute(
        "CREATE FUNCTION touch(int) RETURNS int LANGUAGE sql AS "
        f"'INSERT INTO player_stats VALUES ({LATE}, ''2024-01-02'', 1, 1); SELECT 1'"
    )
    place.start()
    sessions = place.sessions()
    place.route(sessions, PlayerStat, Player)
    with sessions() as session:
        assert not sees(session)
        session.execute(select(func.touch(Player.id)).where(Player.id == 1)).all()
        assert sees(session)


def is_on(sessions: sessionmaker[Session]) -> bool:
    """Whether sessions made now are listened to."""
    return "__init__" in vars(sessions.class_)


def reads_latest(sessions: sessionmaker[Session], number: int = LATE) -> bool:
    with sessions() as session:
        return session.scalar(select(table.c.id).where(table.c.id == number)) == number


def within(seconds: float, done: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.02)
    return False


def flushed(s: Session) -> bool:
    s.add(Player(id=77, name="new"))
    s.flush()
    return sees(s)


def autoflushed(s: Session) -> bool:
    s.add(Player(id=77, name="new"))
    return sees(s)


def read_then_wrote(s: Session) -> bool:
    assert not sees(s)
    s.get(PlayerStat, 5).value = -1
    s.flush()
    return sees(s) and s.scalar(select(table.c.value).where(table.c.id == 5)) == -1


def wrote_in_an_earlier_transaction(s: Session) -> bool:
    s.add(Player(id=77, name="new"))
    s.flush()
    s.rollback()
    return sees(s)


def refreshed(s: Session) -> bool:
    late = s.scalar(
        select(PlayerStat).where(PlayerStat.id == LATE), execution_options={"hyperferry": "record"}
    )
    s.refresh(late)
    s.commit()  # and what it expires is loaded again
    return late.value == 1


def by_hand(*statements: Any) -> Reading:
    def act(s: Session) -> bool:
        assert not sees(s)
        for statement in statements:
            s.execute(statement)
        return sees(s)

    return act


def on_the_connection(s: Session) -> bool:
    assert not sees(s)
    s.connection().execute(update(table).where(table.c.id == 1).values(value=0))
    return sees(s)


def in_level(level: str) -> Reading:
    def act(s: Session) -> bool:
        s.connection(execution_options={"isolation_level": level})
        return sees(s)

    return act


def written_by_a_function(s: Session) -> bool:
    assert not sees(s)
    s.scalar(select(func.touch()))
    return sees(s)


def written_by_a_function_in_a_read(s: Session) -> bool:
    assert not sees(s)
    s.execute(select(func.touch(), PlayerStat.id).where(PlayerStat.id == 2)).all()
    return sees(s)


def merged(s: Session) -> bool:
    """A row that only the table of record has would be inserted once more."""
    assert not sees(s)
    s.merge(PlayerStat(id=LATE, game_date=LATE_DATE, player_id=1, value=5))
    s.flush()
    return sees(s)


def merged_with_what_another_wrote(s: Session) -> bool:
    """Compared with a stale row there would be nothing to write."""
    s.merge(PlayerStat(id=6, game_date=s.get(PlayerStat, 6).game_date, player_id=7, value=6))
    s.flush()
    return s.scalar(text("SELECT value FROM player_stats WHERE id = 6")) == 6


def deleted_with_what_hangs_on_it(s: Session) -> bool:
    player = s.get(Player, 1)
    s.delete(player)
    with s.no_autoflush:
        return LATE in [each.id for each in player.stats]


def read_by_a_flush(s: Session) -> bool:
    """The key of a row changes, and all that point at it are read and changed."""
    s.get(Owner, 1).id = 500
    s.flush()
    return s.scalar(text(f"SELECT player_id FROM player_stats WHERE id = {LATE}")) == 500


def saved_in_bulk(s: Session) -> bool:
    s.bulk_save_objects([PlayerStat(id=9_100, game_date=LATE_DATE, player_id=1, value=1)])
    s.commit()
    return s.get(PlayerStat, 9_100) is not None


class Owner(Base):
    __table__ = Player.__table__
    owned = relationship(PlayerStat, passive_updates=False, overlaps="player,stats")


LATE_DATE = datetime(2024, 1, 2, tzinfo=UTC)
writing = insert(Player).values(id=78, name="x").returning(Player.id).cte("made")

RECORD: dict[str, Reading] = {
    "text": lambda s: s.scalar(text(f"SELECT id FROM player_stats WHERE id = {LATE}")) == LATE,
    "for update": lambda s: (
        s.scalar(select(PlayerStat.id).where(PlayerStat.id == LATE).with_for_update()) == LATE
    ),
    "for share": lambda s: (
        s.scalar(
            select(PlayerStat.id).where(PlayerStat.id == LATE).with_for_update(read=True, key_share=True)
        )
        == LATE
    ),
    "with a CTE that writes": lambda s: (
        s.scalar(select(PlayerStat.id).join(writing, writing.c.id == 78).where(PlayerStat.id == LATE)) == LATE
    ),
    "asked for": lambda s: (
        s.scalar(select(PlayerStat.id).where(PlayerStat.id == LATE).execution_options(hyperferry="record"))
        == LATE
    ),
    "own map of schemas": lambda s: (
        s.scalar(
            select(PlayerStat.id).where(PlayerStat.id == LATE),
            execution_options={"schema_translate_map": {None: "public"}},
        )
        == LATE
    ),
    "the connection's own": lambda s: (
        s.connection().scalar(select(PlayerStat.id).where(PlayerStat.id == LATE)) == LATE
    ),
    "flushed": flushed,
    "autoflushed": autoflushed,
    "read, then wrote": read_then_wrote,
    "wrote before": wrote_in_an_earlier_transaction,
    "refreshed": refreshed,
    "merged": merged,
    "merged with what another wrote": merged_with_what_another_wrote,
    "deleted with what hangs on it": deleted_with_what_hangs_on_it,
    "read by a flush": read_by_a_flush,
    "saved in bulk": saved_in_bulk,
    "update": by_hand(update(PlayerStat).where(PlayerStat.id == 1).values(value=0)),
    "delete": by_hand(delete(table).where(table.c.id == 1)),
    "insert by text": by_hand(text("INSERT INTO player VALUES (77, 'by hand')")),
    "on the connection": on_the_connection,
    "a function that writes": written_by_a_function,
    "a function that writes, called while reading": written_by_a_function_in_a_read,
    "REPEATABLE READ": in_level("REPEATABLE READ"),
    "SERIALIZABLE": in_level("SERIALIZABLE"),
    "AUTOCOMMIT": in_level("AUTOCOMMIT"),
    "search_path": by_hand(text("SET LOCAL search_path = other, public")),
}


def test_what_is_read_from_the_table_of_record(place: Place) -> None:
    """And what a session writes goes there, whatever it read before."""
    place.db.execute(
        "CREATE FUNCTION touch() RETURNS void LANGUAGE sql AS 'UPDATE player_stats SET value = value WHERE id = 2'; "
        "CREATE SCHEMA other; CREATE TABLE other.player_stats (LIKE public.player_stats); GRANT USAGE ON SCHEMA other TO PUBLIC; "
        f"GRANT SELECT ON other.player_stats TO PUBLIC; INSERT INTO other.player_stats VALUES ({LATE}, now(), 1, 1)"
    )
    place.start().late()
    place.db.execute("UPDATE player_stats SET value = 777 WHERE id = 6")
    sessions = place.sessions()
    place.route(sessions)
    before = place.db.execute("SELECT count(*), sum(value) FROM hyperferry_new_1.player_stats")
    for name, read in RECORD.items():
        with sessions() as session:
            assert read(session), name
    assert place.db.execute("SELECT count(*), sum(value) FROM hyperferry_new_1.player_stats") == before


def test_savepoints(place: Place) -> None:
    """What was held in a savepoint is held again after it; a write that was rolled back still counts as one."""
    place.start().late()
    sessions = place.sessions()
    place.route(sessions)
    with sessions() as session:
        with session.begin_nested() as nested:
            assert not sees(session)
            nested.rollback()
        assert not sees(session)
        with session.begin_nested():
            assert not sees(session)
        assert not sees(session)
    with sessions() as session:
        with session.begin_nested() as nested:
            session.execute(text("INSERT INTO player VALUES (77, 'x')"))
            nested.rollback()
        sees(session)
        session.execute(text("INSERT INTO player VALUES (77, 'x')"))
        assert sees(session)


@pytest.mark.parametrize("kind", ["scoped", "subclass"])
def test_other_kinds_of_sessions(place: Place, kind: str) -> None:
    place.start().late()

    class Sessions(Session):
        pass

    given: Any = scoped_session(place.sessions()) if kind == "scoped" else Sessions
    reads = place.route(given)
    engine = place.engine()
    session = given() if kind == "scoped" else Sessions(engine)
    assert not sees(session)
    session.rollback()
    for method in (merged, saved_in_bulk):
        with Sessions(engine) if kind == "subclass" else given.session_factory() as other:
            assert method(other)
    reads.close()
    assert not [name for name in ("merge", "delete", "bulk_save_objects") if name in vars(Sessions)]
    assert sees(session)
    session.close()


def test_what_cannot_be_hooked_is_refused(place: Place) -> None:
    sessions = place.sessions()
    place.route(sessions)
    with pytest.raises(ValueError, match="have a hook already"):
        place.route(sessions)
    for wrong in (Session, "sessions", Session()):
        with pytest.raises(TypeError, match="is none of: sessionmaker"):
            place.route(wrong)
    with pytest.raises(TypeError, match="neither a Table"):
        place.route(sessionmaker(), "player_stats")


def test_a_session_that_chooses_another_connection_each_time(place: Place) -> None:
    """As SQLAlchemy's documentation has it for replicas: it is asked twice, by us and by the statement."""
    place.start().late()
    engines = [place.engine(), place.engine()]
    asked = iter(range(1_000))

    class Fickle(Session):
        def get_bind(self, *args: Any, **options: Any) -> Engine:
            return engines[next(asked) % 2]

    sessions = sessionmaker(class_=Fickle)
    reads = place.route(sessions)
    with sessions() as session:
        for number in range(1, 7):
            assert not sees(session)
            assert session.get(Player, number) is not None
            assert reads.routed == number
            if number % 2:
                next(asked)
    for engine in engines:  # what is not ours is let alone
        with engine.connect() as conn:
            assert conn.scalar(select(PlayerStat.id).where(PlayerStat.id == LATE)) == LATE
    for name in ("flushed", "merged", "by hand"):
        act = {"flushed": flushed, "merged": merged, "by hand": lambda s: by_hand(text("SELECT 1"))(s) is False}[name]
        with sessions() as session:
            assert act(session), name
    assert event.contains(Engine, "before_cursor_execute", reads._links._before)
    reads.close()
    assert not event.contains(Engine, "before_cursor_execute", reads._links._before)
    with sessions() as session:
        assert sees(session)


def test_where_no_thread_can_be_had_the_next_session_tries_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place.start().late()

    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sessions = place.sessions()
    reads = place.route(sessions)
    reads.forked()
    reads._looks_in = None
    monkeypatch.setattr(threading.Thread, "start", none)
    for _ in range(2):
        with sessions() as session:
            assert session.get(Player, 1) is not None
    assert len([each for each in caplog.records if "can't start new thread" in each.getMessage()]) == 1
    assert reads._looks_in is None
    monkeypatch.undo()
    with sessions() as session:
        assert not sees(session)
    assert reads._looks_in == os.getpid()


def test_an_engine_that_is_gone_leaves_nothing(place: Place) -> None:
    """One for each tenant, say: its dialect, and what was compiled for it."""
    place.start().late()
    sessions = sessionmaker()
    place.route(sessions)
    engine = create_engine(place.url())
    with sessions(bind=engine) as session:
        assert not sees(session)
    gone = weakref.ref(engine.dialect)
    engine.dispose()
    del engine, session
    gc.collect()
    assert gone() is None
