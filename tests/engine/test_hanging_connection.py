"""The way to the server swallows what is sent, and does not close: at each moment of the swap writers go on, and it happens once."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from typing import Any

import psycopg
import pytest
from job import Job, aside, eventually
from swap_support import Ready, cutover_of, insert, outcome, ready_fixture, same_after_sync, templates_fixture  # noqa: F401

from hyperferry import engine
from hyperferry.cutover import runner
from hyperferry.db import locks
from hyperferry.model.rollout import Phase

pytestmark = pytest.mark.usefixtures("full_time")

MOMENTS = {
    # what is not passed on any more, from the message on that holds these words
    "the locks are never asked for": (b"SET SCHEMA", "to the server"),
    "they are held, and we are not told": (b"SET SCHEMA", "to the client"),
    "the COMMIT does not come": (b"COMMIT", "to the server"),
    "it was committed, and we are not told": (b"COMMIT", "to the client"),
}


class Swallowing:
    """A way to the server on which one connection hangs from a moment of the swap on; the others are fine."""

    def __init__(self, dsn: str) -> None:
        info = psycopg.conninfo.conninfo_to_dict(dsn)
        self.target = (str(info["host"]), int(str(info["port"])))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.dsn = psycopg.conninfo.make_conninfo(
            dsn, host="127.0.0.1", port=self.listener.getsockname()[1], sslmode="disable", gssencmode="disable"
        )
        self.words, self.swallows, self.after = b"", "", b""
        self.hung = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, words: bytes, swallows: str, after: bytes = b"SET SCHEMA") -> None:
        """From the next such message on, once, on a connection that has sent `after` (with it, or before)."""
        self.hung.clear()
        self.words, self.swallows, self.after = words, swallows, after

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(self.target)
        swapping = hanging = False
        swallows = ""
        with contextlib.suppress(OSError), client, server:
            while True:
                for source in select.select([client, server], [], [], 60)[0]:
                    data = source.recv(1 << 20)
                    if not data:
                        if hanging:
                            time.sleep(30)  # who hangs does not tell that the other one closed
                        return
                    to_server = source is client
                    if to_server and not hanging:
                        swapping = swapping or self.after in data
                        if swapping and self.words and self.words in data:
                            hanging, swallows, self.words = True, self.swallows, b""
                            self.hung.set()
                    if hanging and (swallows == "to the server" or not to_server):
                        continue
                    (server if to_server else client).sendall(data)


@pytest.mark.parametrize("way", ["cutover", "rollback"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_connection_that_hangs_in_the_swap(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, moment: str, way: str
) -> None:
    job: Job = ready()
    monkeypatch.setattr(runner, "ANSWER_SECONDS", 4.0)
    if way == "rollback":
        job.cutover()
    proxy = Swallowing(job.db.dsn)
    proxy.arm(*MOMENTS[moment])
    swap: Any = aside(
        lambda: cutover_of(proxy.dsn, say=job.said.append)
        if way == "cutover"
        else engine.rollback(proxy.dsn, "public.t", say=job.said.append)
    )
    eventually("it hangs", proxy.hung.is_set)
    began = time.monotonic()
    insert(job)
    waited = time.monotonic() - began
    assert waited < 15, "the server let the lock go: the proxy keeps what hangs for half a minute"
    report = outcome(swap, 60)
    assert report.phase is (Phase.CUT_OVER if way == "cutover" else Phase.ROLLED_BACK)
    assert report.attempts == (1 if moment == "it was committed, and we are not told" else 2)
    swaps = 1 if way == "cutover" else 2
    assert job.value("SELECT count(*) FROM hyperferry.event WHERE kind = 'swap'") == swaps
    proxy.listener.close()
    same_after_sync(job)


ENDINGS = {
    # the words before which the lock is held, and the phase in which the command is run
    "start": (b"CREATE TRIGGER", b"SHARE ROW EXCLUSIVE"),
    "abort": (b"DROP TRIGGER", b"ACCESS EXCLUSIVE"),
    "finish": (b"CREATE OR REPLACE FUNCTION", b"ACCESS EXCLUSIVE"),
}


@pytest.mark.parametrize("command", ENDINGS)
def test_a_connection_that_hangs_while_capture_comes_or_goes(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Not the swap alone holds locks that writers want (`make torture SEED=710`)."""
    job: Job = ready()
    monkeypatch.setattr(locks, "GONE_MS", 3_000)  # or a busy machine comes too late to wait
    if command == "finish":
        job.cutover()
    if command == "start":
        job.abort()
    words, lock = ENDINGS[command]
    proxy = Swallowing(job.db.dsn)
    proxy.arm(words, "to the server", after=lock)
    work: Any = aside(
        lambda: engine.start(proxy.dsn, None, engine.make_plan(job.dsn, job.table.quoted, job.table.time, job.options))
        if command == "start"
        else getattr(engine, command)(proxy.dsn, job.table.quoted)
    )
    eventually("it hangs", proxy.hung.is_set)
    began = time.monotonic()
    with job.db.connect() as app:
        app.execute("SET lock_timeout = '20s'")
        app.execute("INSERT INTO t (at) VALUES ('2024-01-02')")
    waited = time.monotonic() - began
    assert 0.5 < waited < 15, "the writer waited for the lock, and went on before anybody noticed the hanging connection"
    proxy.listener.close()
    assert not work.done()
