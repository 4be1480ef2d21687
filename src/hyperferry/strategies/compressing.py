"""Who compresses closed chunks, and when: the copiers, between two batches, and never while the applier is at work.

A slice of changes and the compression of any chunk get on badly: what stood in a chunk stands elsewhere under another snapshot,
so the slice would be done again (ledger/chunks.py), and some versions have a slice lock every chunk. So they take turns. Copying
goes on beside both. As each copier first sees to a chunk that is closed, and copies when there is none, few chunks stand
uncompressed: those in work, and those that wait while changes are applied.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from ..compression import Chunk, Done, closed_chunks, compress, compression_of, partial_chunks, prove
from ..db.connection import Connection
from ..errors import LockUnavailable
from ..ledger.flow import Flow
from ..words import size
from .monitor import Monitor

LOOK_SECONDS = 0.5
"""It is asked which chunks are closed at least so often..."""
LOOK_SHARE = 5
"""... and more often where looking is quick: it takes at most one part in so many of the time."""
MOST_WAITING = 1
"""Copying waits while more closed chunks than that, for each copier, are in nobody's hands: they would take the disk."""
TRIES = 30
"""So often a chunk is tried whose locks are not to be had, before it is left as it is."""
PAUSE_SECONDS = 0.05


class Turns:
    """Either slices are applied or chunks compressed, or indexed. Who applies waits for chunks in work; meanwhile none is
    begun."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._appliers = 0
        self._compressing = 0

    @contextmanager
    def applying(self, should_stop: Callable[[], None]) -> Iterator[None]:
        """Slices are applied for the length of the block; `should_stop` may raise while it waits for its turn."""
        with self._changed:
            self._appliers += 1
        try:
            while True:
                with self._changed:
                    if not self._compressing:
                        break
                    self._changed.wait(PAUSE_SECONDS)
                should_stop()
            yield
        finally:
            with self._changed:
                self._appliers -= 1

    @contextmanager
    def compressing(self) -> Iterator[bool]:
        """A chunk is compressed for the length of the block; False where slices are applied, or wait to be: not now."""
        with self._changed:
            mine = not self._appliers
            self._compressing += mine
        try:
            yield mine
        finally:
            with self._changed:
                self._compressing -= mine
                self._changed.notify_all()


class Compressing:
    """What the copiers of one command share: which chunks are closed, who works on which, and which are left as they are."""

    def __init__(self, flow: Flow, monitor: Monitor) -> None:
        self._flow, self._monitor = flow, monitor
        self.turns = Turns()
        self._lock = threading.Lock()
        self._waiting: list[Chunk] = []
        self._looked = 0.0
        self._pause = 0.0
        self._taken: set[int] = set()
        self._left = monitor.uncompressed
        self._proved: set[int] = set()
        self._tries: dict[int, int] = {}

    @property
    def wished(self) -> bool:
        """Whether the plan has chunks compressed at all."""
        return self._flow.rollout.plan.compression is not None

    def applying(self) -> AbstractContextManager[None]:
        """Slices are applied for the length of the block, and no chunk is compressed, or gets its indexes."""
        return self.turns.applying(self._monitor.should_stop)

    def between_batches(self, conn: Connection) -> bool:
        """One closed chunk, or a wait where too many stand uncompressed; False where the next batch is to be copied."""
        if not self.wished:
            return False
        chunk = self._take(conn)
        if chunk is not None and self._one(conn, chunk):
            return True
        if len(self._waiting) <= MOST_WAITING * self._flow.rollout.plan.workers:
            return False
        time.sleep(PAUSE_SECONDS)
        return True

    def rest(self, conn: Connection) -> None:
        """Every chunk that is closed and not in somebody else's hands, when there is no batch to be copied any more."""
        while self.wished:
            with self._monitor.turn():
                chunk = self._take(conn, look=True)
                if chunk is None:
                    return
                done = self._one(conn, chunk)
            if not done:
                time.sleep(PAUSE_SECONDS)

    def _take(self, conn: Connection, *, look: bool = False) -> Chunk | None:
        """The next closed chunk that nobody works on; asks the server now and then which are, or at once (`look`) where none is
        known."""
        with self._lock:
            # Also while some wait: where the applier is always at work they wait for long, and others come to be closed.
            if (look and not self._waiting) or time.monotonic() - self._looked >= self._pause:
                begun = time.monotonic()
                self._waiting = [
                    chunk for chunk in closed_chunks(conn, self._flow) if chunk.side.oid not in self._taken | self._left
                ]
                self._looked = time.monotonic()
                self._pause = min(LOOK_SECONDS, LOOK_SHARE * (self._looked - begun))
            if not self._waiting:
                return None
            chunk = self._waiting.pop(0)
            self._taken.add(chunk.side.oid)
            return chunk

    def _one(self, conn: Connection, chunk: Chunk) -> bool:
        """Proves and compresses a chunk that was taken; False where that is not possible now."""
        oid = chunk.side.oid
        try:
            done = self._work(conn, chunk)
            if done is None:
                with self._lock:
                    self._waiting.insert(0, chunk)
                return False
            self._settle(chunk, done)
            return done is not Done.NOT_NOW
        finally:
            with self._lock:
                self._taken.discard(oid)

    def _work(self, conn: Connection, chunk: Chunk) -> Done | None:
        """None: slices are being applied. What was proved once is not proved again."""
        if chunk.side.oid not in self._proved:
            try:
                helpers = self._monitor.helpers(self._flow.rollout.plan.workers)
                found = prove(conn, self._flow, chunk, self._monitor.should_stop, helpers)
            except LockUnavailable:
                return Done.NOT_NOW
            if found is not Done.COMPRESSED:
                return found
            self._proved.add(chunk.side.oid)
        with self.turns.compressing() as mine:
            if not mine:
                return None
            return compress(conn, self._flow, chunk)

    def _settle(self, chunk: Chunk, done: Done) -> None:
        number = self._tries[chunk.side.oid] = self._tries.get(chunk.side.oid, 0) + 1
        if done is Done.NOT_NOW and number < TRIES:
            return
        if done is not Done.COMPRESSED:
            self._left.add(chunk.side.oid)
        reasons = {
            Done.NOT_NOW: f"its locks were not to be had {number} times",
            Done.REFUSED: "the server refuses to compress it (hyperferry.event has its words)",
            Done.DIFFERS: "it differs from the table; the verification will say how",
            Done.INEXACT: "its rows would not come back byte by byte as they are (docs/compression.md)",
        }
        if done in reasons:
            self._monitor.say(f"{chunk.label} is left uncompressed: {reasons[done]}")

    def again(self, conn: Connection) -> int:
        """Compresses what stands beside the compressed rows, when nobody else is at work; returns in how many chunks."""
        number = 0
        for chunk in partial_chunks(conn, self._flow):
            with self._monitor.turn():
                number += compress(conn, self._flow, chunk) is Done.COMPRESSED
        return number


def unfinished(conn: Connection, flow: Flow) -> bool:
    """Whether a closed chunk is not compressed."""
    return bool(closed_chunks(conn, flow))


def told(conn: Connection, flow: Flow) -> str | None:
    """What to say of it in the end; None where the plan compresses nothing."""
    found = compression_of(conn, flow)
    if found is None:
        return None
    ratio = "" if found.ratio is None else f", {found.ratio:.1f} times smaller"
    return (
        f"{found.compressed} of {found.chunks} chunks are compressed: {size(found.bytes_before)} before, "
        f"{size(found.bytes_after)} now{ratio}"
    )
