"""Who else is at work on the server: whose turn on its cores ours would take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ..db import fetch_one, load_queries
from ..db.connection import Connection

LOOKS = 5
OFTEN = 2
"""So many of the last looks have to have seen somebody: one session that did one thing is nobody at work."""
MANY = 2
"""So many sessions at once are somebody at work at the first look."""


class Company:
    """Looks again and again, on whatever connection."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, every: float = 0.9) -> None:
        self._clock, self._every = clock, every
        self._looks: deque[int] = deque(maxlen=LOOKS)
        self._at: float | None = None
        self.hidden = 0
        """How many of those last seen are counted because what they do is hidden from this role."""

    def look(self, conn: Connection) -> int:
        """How many sessions of others are at work, 0 where they are not. Looks at most every `every` seconds."""
        now = self._clock()
        if self._at is None or now - self._at >= self._every:
            self._at = now
            row = fetch_one(conn, load_queries(__package__, "company.sql")["company"])
            seen, self.hidden = (int(row[0]), int(row[1])) if row is not None else (0, 0)
            self._looks.append(seen)
        return self.at_work(tuple(self._looks))

    @staticmethod
    def at_work(looks: tuple[int, ...]) -> int:
        """The most that was seen in these looks, the last one last; 0 where it was a moment's work."""
        if sum(1 for seen in looks if seen) >= OFTEN or (looks and looks[-1] >= MANY):
            return max(looks)
        return 0
