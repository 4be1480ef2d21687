"""Who builds the indexes of copied chunks, and when: the copiers, between two batches, while the chunk's pages are in memory.

Not while changes are applied: who applies would have to wait for the chunk (they take turns, as with compression). What is left
at the copy's end is built chunk by chunk as well, and then on the root, which takes all of them for its own (building.py).
"""

from __future__ import annotations

import threading
import time

from ..copy import chunk_indexes
from ..copy.chunk_indexes import Built, CopiedChunk
from ..db.connection import Connection
from ..ledger.flow import Flow
from .compressing import LOOK_SECONDS, LOOK_SHARE, PAUSE_SECONDS, TRIES, Turns
from .monitor import Monitor


class Warming:
    """What the workers of one command share: which chunks are copied and lack indexes, and which are left to the root."""

    def __init__(self, flow: Flow, monitor: Monitor, turns: Turns | None = None) -> None:
        self._flow, self._monitor = flow, monitor
        self._turns = turns or Turns()
        self._lock = threading.Lock()
        self._may = True  # until it is asked
        self._asked = False
        self._looking = False
        self._waiting: list[CopiedChunk] = []
        self._known: set[int] = set()
        self._tries: dict[int, int] = {}
        self._tails: chunk_indexes.Printed = {}
        self._next = 0.0

    def between_batches(self, conn: Connection) -> bool:
        """Builds one chunk's indexes, unless changes are being applied; False where there was nothing to be done."""
        if (chunk := self._take(conn)) is None:
            return False
        with self._turns.compressing() as mine:
            if not mine:
                with self._lock:
                    self._waiting.insert(0, chunk)
                return False
            helpers = self._monitor.helpers(self._flow.rollout.plan.workers)
            try:
                built = chunk_indexes.build(conn, self._flow, chunk, helpers)
            except BaseException:  # a lost connection, say: the next look finds the chunk again
                with self._lock:
                    self._known.discard(chunk.oid)
                    self._next = 0.0
                raise
        return not (built is Built.NOT_NOW and self._again(chunk))

    def _again(self, chunk: CopiedChunk) -> bool:
        """Whether a chunk that is locked will be tried again, after the others that wait; else the root's index is to have it."""
        number = self._tries[chunk.oid] = self._tries.get(chunk.oid, 0) + 1
        if number >= TRIES:
            self._monitor.say(f"{chunk.name} gets its indexes with the hypertable's: its lock was not to be had {number} times")
            return False
        with self._lock:
            self._waiting.append(chunk)
        return True

    def rest(self, conn: Connection) -> None:
        """Builds those of all chunks that lack some, when nothing is copied or applied any more."""
        while True:
            with self._monitor.turn():
                if self.between_batches(conn):
                    continue
            with self._lock:
                if not self._looking and not self._waiting:
                    return
            time.sleep(PAUSE_SECONDS)

    def _take(self, conn: Connection) -> CopiedChunk | None:
        """The next chunk that nobody else has taken. One worker asks the server now and then, no longer than a part of the time,
        and the others need not wait for that."""
        with self._lock:
            if self._waiting:
                return self._waiting.pop(0)
            if not self._may or self._looking or time.monotonic() < self._next:
                return None
            self._looking = True
        begun = time.monotonic()
        found: list[CopiedChunk] = []
        looked = False
        try:
            if not self._asked:
                self._may = chunk_indexes.may_build(conn, self._flow)
                self._tails = chunk_indexes.printed(conn, self._flow) if self._may else {}
                self._asked = True
            if self._may:
                found = chunk_indexes.copied_chunks(conn, self._flow, self._known, self._tails)
            looked = True
        finally:
            with self._lock:
                self._looking = False
                self._known |= {chunk.oid for chunk in found}
                self._waiting += [chunk for chunk in found if chunk.lacks]
                ended = time.monotonic()
                # Who did not come to look leaves it to the next: `rest` ends where a look finds nothing.
                self._next = ended + max(LOOK_SECONDS, LOOK_SHARE * (ended - begun)) if looked else 0.0
        with self._lock:
            return self._waiting.pop(0) if self._waiting else None
