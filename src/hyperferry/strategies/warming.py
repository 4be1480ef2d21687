"""Who builds the indexes of copied chunks, and when: the copiers, between two batches, while the chunk's pages are in memory.

Not while changes are applied: who applies would have to wait for the chunk (they take turns, as with compression). What is left
at the copy's end is built chunk by chunk as well, and then on the root, which takes all of them for its own (building.py).
"""

from __future__ import annotations

import threading
import time

from ..copy import chunk_indexes
from ..copy.chunk_indexes import CopiedChunk
from ..db.connection import Connection
from ..ledger.flow import Flow
from .compressing import LOOK_SECONDS, LOOK_SHARE, Turns
from .monitor import Monitor


class Warming:
    """What the workers of one command share: which chunks are copied and lack indexes, and which are left to the root."""

    def __init__(self, flow: Flow, monitor: Monitor, turns: Turns | None = None) -> None:
        self._flow, self._monitor = flow, monitor
        self._turns = turns or Turns()
        self._lock = threading.Lock()
        self._may: bool | None = None
        self._waiting: list[CopiedChunk] = []
        self._seen: set[int] = set()
        self._next = 0.0
        self.built = 0

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
            if chunk_indexes.build(conn, self._flow, chunk, helpers):
                with self._lock:
                    self.built += len(chunk.lacks)
        return True

    def _take(self, conn: Connection) -> CopiedChunk | None:
        """The next chunk that nobody else has taken. The server is asked now and then, no longer than a part of the time."""
        with self._lock:
            if self._may is None:
                self._may = chunk_indexes.may_build(conn, self._flow)
            if self._may and not self._waiting and time.monotonic() >= self._next:
                begun = time.monotonic()
                found = chunk_indexes.copied_chunks(conn, self._flow)
                self._waiting = [chunk for chunk in found if chunk.oid not in self._seen]
                self._seen |= {chunk.oid for chunk in self._waiting}
                ended = time.monotonic()
                self._next = ended + max(LOOK_SECONDS, LOOK_SHARE * (ended - begun))
            return self._waiting.pop(0) if self._waiting else None
