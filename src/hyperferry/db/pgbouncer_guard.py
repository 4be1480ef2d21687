"""The process that resumes PgBouncer's pools if the one that paused them cannot. Run as a module; speaks through its pipes.

It reads a line for each pool (the console's DSN and the pool's name, in hexadecimal), then an empty one; opens a session on each
console, and says `ready`. Then it repeats each word that it reads: `paused` starts the clock, `resumed` stops it, `resume` has it
resume now. The end of its input (whoever started it is gone) or of the time has it resume, for a while again and again: a PAUSE
may still be on its way.
"""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time
from contextlib import suppress

import psycopg

from ..errors import HyperferryError
from .connection import Connection
from .pgbouncer import admin, resume

AGAIN_SECONDS = 3.0


class _Pool:
    def __init__(self, dsn: str, name: str) -> None:
        self.dsn, self.name = dsn, name
        self.conn: Connection | None = admin(dsn)

    def resume(self) -> bool:
        """Whether it goes on now; a lost session is made anew."""
        try:
            if self.conn is None or self.conn.closed:
                self.conn = admin(self.dsn)
            resume(self.conn, self.name)
        except (psycopg.Error, HyperferryError):
            return False
        return True


def _resume(pools: list[_Pool], seconds: float) -> None:
    """Resumes every pool; tries those that cannot be reached for as long as it takes, up to ten minutes."""
    began = time.monotonic()
    while True:
        tried = [pool.resume() for pool in pools]  # every one, whatever the first says
        done = all(tried)
        passed = time.monotonic() - began
        if (done and passed >= seconds) or passed > 600:
            return
        time.sleep(0.1)


def main() -> None:
    """Until the input ends."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # whoever ends the program means the program: it closes our input
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    bound = float(sys.argv[1])
    pools: list[_Pool] = []
    while words := sys.stdin.readline().split():
        pools.append(_Pool(*(bytes.fromhex(word).decode() for word in words)))
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line.strip())
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    print("ready", flush=True)
    until: float | None = None
    while True:
        try:
            word = lines.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
        except queue.Empty:
            _resume(pools, 0.0)
            until = None
            continue
        if word == "paused":
            until = time.monotonic() + bound
        elif word == "resumed":
            until = None
        elif word == "resume" or until is not None:
            _resume(pools, 0.0 if word else AGAIN_SECONDS)
            until = None
        if not word:
            return
        with suppress(OSError):
            print(word, flush=True)


if __name__ == "__main__":
    main()
