"""The flag as an application asks for it: from the environment, or from a setting in the database that is watched."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Mapping
from typing import Any

from .connected import connected
from .share import described, parse, part_of
from .watch import Watch

NAME = "USE_HYPERTABLES"
FROM_DATABASE = "database"
"""What the environment says to leave it to the setting in the database (as it does where it says nothing)."""

REFRESH_SECONDS = 2.0

Read = Callable[[], float | None]
"""Asks the database for the share; None where nothing is set. May raise whatever its driver raises."""

_log = logging.getLogger("hyperferry.flag")


class Flag:
    """Whether the application is to use the hypertables.

    `flag()` answers at once, without a look at the database: what the environment says under `name` counts first; then what
    `read` last said, which a thread of its own asks every `refresh_seconds` from the first call on, in each process; off where
    neither says anything. While the database does not answer, what it said last goes on; a value that is not understood counts as
    not said, with a line in the log `hyperferry.flag`.

    `flag(key)` with a share between 0 and 100 % is the same for one key in all processes and grows with the share; without a key
    it is drawn anew at each call.
    """

    def __init__(
        self,
        read: Read | None = None,
        *,
        name: str = NAME,
        environ: Mapping[str, str] | None = None,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self.name = name
        self._environ = os.environ if environ is None else environ
        self._watch: Watch[float | None] | None = None
        if read is not None:
            self._watch = Watch(
                read,
                seconds=refresh_seconds,
                name="hyperferry flag",
                troubled=self._troubled,
                changed=lambda share: _log.info("%s is %s now", name, described(share or 0.0)),
            )
        self._text: str | None = None
        self._said: float | None = None

    def __call__(self, key: object = None) -> bool:
        """Whether to use the hypertables (for `key`: a user, a tenant, a request)."""
        share = self.share
        if share <= 0:
            return False
        if share >= 100:
            return True
        return (random.random() * 100 if key is None else part_of(key)) < share

    @property
    def share(self) -> float:
        """The share in force, 0 (off) to 100 (on)."""
        text = self._environ.get(self.name)
        if text is not None:
            if text != self._text:
                self._text, self._said = text, self._understood(text)
            if self._said is not None:
                return self._said
        return (self._watch.now() or 0.0) if self._watch else 0.0

    def refresh(self) -> float:
        """Asks the database now, and gives the share in force. What the driver raises is raised."""
        if self._watch:
            self._watch.refresh()
        return self.share

    def close(self) -> None:
        """Ends the thread; the last answer goes on. A flag that nobody holds any more ends by itself."""
        if self._watch:
            self._watch.close()

    def _understood(self, text: str) -> float | None:
        if text.strip().lower() in (FROM_DATABASE, ""):
            return None
        try:
            return parse(text)
        except ValueError as error:
            _log.warning("%s in the environment: %s; it counts as not set", self.name, error)
            return None

    def _troubled(self, error: Exception) -> None:
        assert self._watch is not None
        _log.warning(
            "%s could not be read from the database (%s); it stays %s",
            self.name,
            error,
            described(self._watch.known or 0.0),
        )


def by_psycopg(dsn: str, *, name: str = NAME, connect_timeout: int = 5) -> Read:
    """Reads the setting by psycopg 3, over one connection that is kept, and made anew when it is lost."""
    return _Reader(dsn, name, connect_timeout)


class _Reader:
    def __init__(self, dsn: str, name: str, timeout: int) -> None:
        self._dsn, self._name, self._timeout = dsn, name, timeout
        self._conn: Any = None
        self._pid = 0

    def __call__(self) -> float | None:
        if self._conn is None or self._conn.closed or self._pid != os.getpid():
            self._conn = connected(self._dsn, "hyperferry flag", self._timeout, autocommit=True)
            self._pid = os.getpid()
        row = self._conn.execute(EXISTS).fetchone()
        if row is None or not row[0]:
            return None
        row = self._conn.execute(SHARE, [self._name]).fetchone()
        return None if row is None else float(row[0])


EXISTS = "SELECT pg_catalog.to_regclass('hyperferry_flag.setting') IS NOT NULL"
"""Whether anything was ever set in this database."""

SHARE = (
    "SELECT share::float8 FROM hyperferry_flag.setting WHERE name = %s AND role IN ('', current_user::text) "
    "ORDER BY role = '' LIMIT 1"
)
"""For the role that asks before for everybody."""
