"""Workers: threads that take pieces of work one after the other, each on a connection of its own."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..db.connection import Connection

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOOK_SECONDS = 0.1
_CANCEL_SECONDS = 5.0


class Abandoned(Exception):
    """Raised inside a worker when the others have to stop; never leaves `in_parallel`."""


def in_parallel(
    connect: Callable[[], Connection],
    workers: int,
    items: Sequence[Item],
    work: Callable[[Connection, Item, Callable[[], None]], Result],
    *,
    stop: Callable[[], None],
    done: Callable[[Result], None],
    allowed: Callable[[], int] | None = None,
) -> None:
    """`work(conn, item, go_on)` for every item, begun in their order; `go_on` raises where the work is to be
    given up.

    `stop` and `done` (with each result, as it comes) are called in the caller's thread. What `stop`, `done`
    or a worker raises ends all workers, cancels their statements and comes out here. `allowed`, asked before each item: how many
    may be at work at once (at least one).
    """
    todo: queue.SimpleQueue[Item] = queue.SimpleQueue()
    for item in items:
        todo.put(item)
    finished: queue.SimpleQueue[tuple[Result] | BaseException | None] = queue.SimpleQueue()
    ended = threading.Event()
    connections: list[Connection] = []

    def go_on() -> None:
        if ended.is_set():
            raise Abandoned

    at_work = 0
    turns = threading.Condition()

    def begin() -> bool:
        nonlocal at_work
        with turns:
            while allowed is not None and at_work >= allowed() and not ended.is_set():
                turns.wait(_LOOK_SECONDS)
            at_work += 1
            return not ended.is_set()

    def end() -> None:
        nonlocal at_work
        with turns:
            at_work -= 1
            turns.notify()

    def one(conn: Connection) -> bool:
        begun = begin()
        try:
            try:
                item = todo.get_nowait()
            except queue.Empty:
                return False
            if begun:
                finished.put((work(conn, item, go_on),))
            return begun
        finally:
            end()

    def run() -> None:
        try:
            with contextlib.closing(connect()) as conn:
                connections.append(conn)
                while one(conn):
                    pass
        except BaseException as error:
            finished.put(error)
        finally:
            finished.put(None)

    threads = [
        threading.Thread(target=run, name=f"verify {n}") for n in range(max(1, min(workers, len(items))))
    ]
    alive = len(threads)
    for thread in threads:
        thread.start()
    try:
        while alive:
            stop()
            try:
                message = finished.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if message is None:
                alive -= 1
            elif isinstance(message, BaseException):
                raise message
            else:
                done(message[0])
    finally:
        ended.set()
        if alive:
            for running in list(connections):
                with contextlib.suppress(Exception):
                    running.cancel_safe(timeout=_CANCEL_SECONDS)
        for thread in threads:
            thread.join()
