"""Reads of a table go to the rollout's other side, where the flag says so and nothing speaks against it."""

from __future__ import annotations

import functools
import inspect
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, event
from sqlalchemy import inspect as inspected
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, sessionmaker

from ..flag import Flag
from .dialects import TRANSLATE, Marks, whole_name
from .hold import OPTION, Links, Wish
from .other import Other
from .shadow import ShadowReads
from .source import REFRESH_SECONDS, Read, Standing, State, log

RECORD = "record"
"""`execution_options(hyperferry="record")`: this statement reads the table of record."""

MAX_LAG = 10.0

Key = Callable[[Session], object]


class Reads:
    """What `route_reads` gives: the hook, until `close()`."""

    def __init__(
        self,
        tables: Sequence[Table],
        flag: Callable[..., bool],
        source: Read,
        key: Key | None,
        max_lag: float | None,
        refresh_seconds: float,
        shadow: ShadowReads | None,
    ) -> None:
        self._flag, self._key, self._max_lag = flag, key, max_lag
        self._takes_key = isinstance(flag, Flag) or _takes_one(flag)
        self._shadow = shadow
        self._marks = Marks(tables)
        self._links = Links(self._marks)
        self._standing = {
            table: Standing(source, whole_name(table), refresh_seconds, self._look) for table in tables
        }
        self._lock = threading.Lock()
        self._looks_in: int | None = None  # the process whose threads look
        self._closed = False
        self._flag_failed = False
        self._looks_failed = False
        self._switch: Callable[[bool], None] = lambda on: None
        self._take_off: Callable[[], None] = lambda: None
        if shadow is not None:
            shadow.watch(self._marks)

    @property
    def routed(self) -> int:
        """Statements that read the other side."""
        return self._links.counts.other

    @property
    def held_back(self) -> int:
        """Reads that stayed with the table of record because of what their transaction was or had done."""
        return self._links.counts.held_back

    def refresh(self) -> None:
        """Asks now where the rollouts stand, and looks at the flag. What the driver raises is raised."""
        for standing in self._standing.values():
            standing.refresh()
        self._look()

    def close(self) -> None:
        """Takes the hook off and ends its threads. Shadow reads that are waiting are dropped."""
        with self._lock:
            if not self._closed:
                self._take_off()
            self._closed = True
        self._links.close()
        for standing in self._standing.values():
            standing.close()
        if self._shadow is not None:
            self._shadow.close()

    def start(self, switch: Callable[[bool], None], take_off: Callable[[], None]) -> None:
        """Begins to look where the rollouts stand. `switch` is told whether a read could go anywhere else than to the table of
        record, `take_off` undoes what was done."""
        self._switch, self._take_off = switch, take_off
        _every.add(self)
        self.look_here()

    def look_here(self) -> None:
        """From now on it is looked where the rollouts stand, in this process too."""
        if self._looks_in == os.getpid():
            return
        with self._lock:
            if self._looks_in != os.getpid() and not self._closed:
                try:
                    for standing in self._standing.values():
                        standing.start()
                except RuntimeError as error:  # no thread can be had now: the next session tries again
                    if not self._looks_failed:
                        log.warning("nobody looks where the rollouts stand (%s); the table itself is read", error)
                    self._looks_failed = True
                    return
                self._looks_in = os.getpid()

    def forked(self) -> None:
        """In a forked process nobody gives the lock free that a thread held, and no thread looks. The first session made there
        lets them begin: a process that makes none connects to nothing."""
        self._lock = threading.Lock()
        if not self._closed:
            self._switch(True)

    def _look(self) -> None:
        needed = self._needed()  # may ask the database for the flag, the first time in a process
        with self._lock:
            if not self._closed:
                self._switch(needed)

    def _needed(self) -> bool:
        """Whether a session made now has to be listened to: no flag that says the same to everybody keeps all reads with the
        table of record, and nothing is to be read in the shadow. A function in a Flag's place is known only by asking it."""
        states = self.states()
        if not states or self._shadow is not None or type(self._flag) is not Flag:
            return bool(states)
        share = self._flag.share
        return any(share > 0 if state.other.when else share < 100 for state in states.values())

    def listen_to(self, session: Session) -> None:
        """Every statement of the session is looked at from now on."""
        heard = _Heard(self)
        event.listen(session, "do_orm_execute", heard.execute)
        event.listen(session, "after_flush", heard.flushed)
        it = weakref.ref(session)
        for name in _WRITERS:
            if hasattr(session, name):
                setattr(session, name, _writing(name, it, heard))

    def states(self) -> dict[Table, State]:
        """The tables whose other side can be read now."""
        if self._closed:
            return {}
        found = ((table, standing.now()) for table, standing in self._standing.items())
        return {table: state for table, state in found if state is not None}

    def wanted(self, session: Session, drawn: object, states: dict[Table, State]) -> dict[Table, Other]:
        """The other sides that the flag wants read, and that are fresh enough."""
        now = time.monotonic()
        fresh = {
            table: state.other
            for table, state in states.items()
            if self._max_lag is None or (state.fresh is not None and now - state.fresh <= self._max_lag)
        }
        if not fresh:
            return {}
        on = self._on(session, drawn)
        return {} if on is None else {table: other for table, other in fresh.items() if other.when is on}

    def _on(self, session: Session, drawn: object) -> bool | None:
        try:
            if not self._takes_key:
                return bool(self._flag())
            return bool(self._flag(drawn if self._key is None else self._key(session)))
        except Exception:
            if not self._flag_failed:
                log.exception("the flag cannot be asked; the table itself is read")
            self._flag_failed = True
            return None

    def hear(self, state: ORMExecuteState, drawn: object) -> None:
        """Gives a SELECT its wish, where it may read the other side or is to be read in the shadow."""
        options = state.execution_options
        inherited = OPTION in options  # of the statement whose rows this one loads more of
        if TRANSLATE in options and not inherited:
            return
        states = self.states()
        others = self.wanted(state.session, drawn, states)
        shadow = self._shadow if not others and states and self._shadow and self._shadow.drawn() else None
        if not (others or shadow or inherited):
            return
        self._wish(state, others, {t: s.other for t, s in states.items()}, shadow)

    def without(self, state: ORMExecuteState) -> None:
        """A statement that reads the table of record, though the one before it had a wish."""
        if OPTION in state.execution_options:
            self._wish(state, {}, {}, None)

    def _wish(
        self,
        state: ORMExecuteState,
        others: dict[Table, Other],
        known: dict[Table, Other],
        shadow: ShadowReads | None,
    ) -> None:
        arguments = dict(state.bind_arguments)
        session = state.session
        # A session's own way to choose may choose another the next time that it is asked, which SQLAlchemy does after us.
        certain = type(session).get_bind is Session.get_bind
        conn: Connection | Engine = (
            session.connection(bind_arguments=arguments) if certain else session.get_bind(**arguments)
        )
        mapped = TRANSLATE in conn.get_execution_options()
        # One that came with a wish has our marks in it, and is in need of us, whatever it is.
        if OPTION not in state.execution_options and (mapped or conn.dialect.name != "postgresql"):
            return
        if certain and isinstance(conn, Connection):
            self._links.hear(conn)
        else:
            self._links.hear_all()
        offer = None
        if shadow is not None and isinstance(given := state.parameters or {}, Mapping):
            offer = shadow.offer_for(known, state.statement, dict(given))
        state.update_execution_options(
            **self._marks.of(conn.dialect).options,
            **{OPTION: Wish(self._marks, others, offer)},
        )


class _Heard:
    """One session's reads. Once it has written by the ORM it reads the table of record, until it is gone."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._wrote = False
        self._drawn = random.random()  # the same answer for all of a session, where the flag is a share

    def execute(self, state: ORMExecuteState) -> None:
        """do_orm_execute."""
        if not state.is_select:
            self._wrote = self._wrote or state.is_insert or state.is_update or state.is_delete
            return
        options = state.execution_options
        if (
            self._wrote
            or state.session._flushing  # what a flush reads it reads in order to write
            or state.is_column_load
            or options.get("hyperferry") == RECORD
            or options.get("populate_existing")
        ):
            self._reads.without(state)
        else:
            self._reads.hear(state, self._drawn)

    def flushed(self, session: Session, context: Any) -> None:
        """after_flush."""
        self._wrote = True

    def writes(self) -> None:
        """What the session is about to read is read in order to write."""
        self._wrote = True


_WRITERS = (
    "merge", "merge_all", "delete", "delete_all", "bulk_save_objects", "bulk_insert_mappings", "bulk_update_mappings",
)  # fmt: skip
"""Methods of a session that read in order to write, or write without a flush."""


def _writing(name: str, it: weakref.ref[Session], heard: _Heard) -> Callable[..., Any]:
    """The method of one session, which is held by that session alone."""

    def method(*args: Any, **options: Any) -> Any:
        heard.writes()
        session = it()
        assert session is not None
        return getattr(type(session), name)(session, *args, **options)

    return method


def route_reads(
    sessions: Any,
    *tables: Any,
    flag: Callable[..., bool],
    source: Read,
    key: Key | None = None,
    max_lag: float | None = MAX_LAG,
    refresh_seconds: float = REFRESH_SECONDS,
    shadow: ShadowReads | None = None,
) -> Reads:
    """Sends reads of `tables` (Table objects or mapped classes) to the rollout's other side while one runs.

    `sessions` is a sessionmaker, async_sessionmaker, scoped_session, or a subclass of Session. `flag` is a Flag, or any function
    that says whether to use the hypertable; it gets the key where it takes an argument: `key(session)`, else one drawn for each
    session. `source` says where a rollout stands (`by_psycopg`). `max_lag` is how many seconds old the other side may be (None:
    any). `shadow` compares both sides in the background.

    Raises TypeError for what is no table or no factory, ValueError where a factory has a hook already.
    """
    if not tables:
        raise TypeError("route_reads needs the tables whose reads are to be routed")
    reads = Reads([_table(each) for each in tables], flag, source, key, max_lag, refresh_seconds, shadow)
    _install(sessions, reads)
    return reads


def _table(given: Any) -> Table:
    if isinstance(given, Table):
        return given
    mapper = inspected(given, raiseerr=False)
    if isinstance(mapper, Mapper) and isinstance(mapper.local_table, Table):
        return mapper.local_table
    raise TypeError(f"{given!r} is neither a Table nor a class that is mapped to one")


def _install(sessions: Any, reads: Reads) -> None:
    """Puts the hook on. A factory makes sessions of a class that is its own: while a read could go to the other side, that gets
    an `__init__`, which has them listened to; while none could, all is as if there were no hook. On a class of the
    application's an event has to look at every statement."""
    factory = getattr(sessions, "session_factory", sessions)
    cls: Any = getattr(factory, "class_", None)
    if isinstance(cls, type):
        if factory in _hooked:
            raise ValueError("these sessions have a hook already: give all tables to one route_reads")
        _hooked.add(factory)
        given = cls
        if not isinstance(factory, sessionmaker):  # which alone makes a class of its own
            cls = factory.class_ = type(cls.__name__, (cls,), {})
        begin, its_own = cls.__init__, vars(cls).get("__init__")
        of_async = hasattr(cls, "sync_session_class")

        def made(self: Any, *args: Any, **options: Any) -> None:
            begin(self, *args, **options)
            reads.look_here()
            reads.listen_to(self.sync_session if of_async else self)

        def switch(on: bool) -> None:
            if on or its_own is not None:
                cls.__init__ = made if on else its_own
            elif "__init__" in vars(cls):
                del cls.__init__

        def take_off() -> None:
            switch(False)
            factory.class_ = given
            _hooked.discard(factory)

        reads.start(switch, take_off)
    elif isinstance(factory, type) and issubclass(factory, Session) and factory is not Session:
        reads.start(lambda on: None, _listen_to(factory, reads))
    else:
        raise TypeError(
            f"{sessions!r} is none of: sessionmaker, async_sessionmaker, scoped_session, a subclass of Session"
        )


_hooked: weakref.WeakSet[Any] = weakref.WeakSet()
_every: weakref.WeakSet[Reads] = weakref.WeakSet()


def _forked() -> None:
    for reads in list(_every):
        reads.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _listen_to(cls: type[Session], reads: Reads) -> Callable[[], None]:
    heard: weakref.WeakKeyDictionary[Session, _Heard] = weakref.WeakKeyDictionary()

    def of(session: Session) -> _Heard:
        found = heard.get(session)
        if found is None:
            found = heard[session] = _Heard(reads)
        return found

    def execute(state: ORMExecuteState) -> None:
        reads.look_here()
        if reads.states() or OPTION in state.execution_options:
            of(state.session).execute(state)

    def flushed(session: Session, context: Any) -> None:
        if reads.states():
            of(session).flushed(session, context)

    def writing(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def written(session: Session, *args: Any, **options: Any) -> Any:
            of(session).writes()
            return method(session, *args, **options)

        return written

    its_own = {name: vars(cls).get(name) for name in _WRITERS if hasattr(cls, name)}
    for name in its_own:
        setattr(cls, name, writing(getattr(cls, name)))
    event.listen(cls, "do_orm_execute", execute)
    event.listen(cls, "after_flush", flushed)

    def take_off() -> None:
        event.remove(cls, "do_orm_execute", execute)
        event.remove(cls, "after_flush", flushed)
        for name, method in its_own.items():
            if method is None:
                delattr(cls, name)
            else:
                setattr(cls, name, method)

    return take_off


def _takes_one(function: Callable[..., Any]) -> bool:
    """Whether it can be called with one argument."""
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        return False
    return True
