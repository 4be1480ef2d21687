"""A long statement on one session, watched from another: it can be stopped, and given up for somebody who waits
behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import psycopg

from ..db import execute
from ..db.connection import Connection, Statement

EVERY_SECONDS = 0.1


def run_watched(
    conn: Connection,
    statement: Statement,
    *,
    tick: Callable[[], None],
    should_stop: Callable[[], None],
    every: float = EVERY_SECONDS,
) -> None:
    """Runs the statement on a thread; meanwhile calls `should_stop` and `tick` every so many seconds, here.

    What either raises has the server cancel the statement, is waited for, and raised on. Otherwise raises what the
    statement raised.
    """
    done = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            execute(conn, statement)
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=work, name="upkeep", daemon=True)
    thread.start()
    try:
        while not done.wait(every):
            should_stop()
            tick()
    except BaseException:
        while not done.is_set():
            with suppress(psycopg.Error):  # a session that is lost ends by itself
                conn.cancel()
            done.wait(1.0)
        raise
    finally:
        thread.join()
    if failed:
        raise failed[0]
