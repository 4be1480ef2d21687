"""`hyperferry sync`, as it would run in another terminal."""

from __future__ import annotations

import threading

from hyperferry import engine
from hyperferry.errors import HyperferryError, Interrupted


class Syncing:
    """Keeps applying changes for the length of a block; raises at its end what went wrong in it."""

    def __init__(self, dsn: str, table: str) -> None:
        self._dsn, self._table = dsn, table
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._failure: HyperferryError | None = None

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            engine.sync(
                self._dsn, self._table, stop=self._stop, progress=lambda report: None, say=lambda text: None
            )
        except Interrupted:
            return
        except HyperferryError as error:
            self._failure = error
