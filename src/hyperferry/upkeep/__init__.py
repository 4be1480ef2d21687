"""Looks after a hypertable in use: its indexes and its continuous aggregates. See README.md."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..catalog.resolve import resolve_table
from ..db import connect
from ..db.connection import Connection
from ..errors import Interrupted
from ..model.names import TableName
from ..model.upkeep import CheckReport
from .checking import check

__all__ = ["check_aggregates"]


def check_aggregates(
    dsn: str,
    table: str,
    *,
    aggregate: str | None = None,
    samples: int = 20,
    every: bool = False,
    seed: int = 1,
    repair: bool = False,
    stop: threading.Event | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> CheckReport:
    """Compares the continuous aggregates of a hypertable, or one of them, with their queries: see `checking.check`.

    Names are as a user writes them. Raises what `check` raises, ConnectionFailed, and Interrupted once `stop` is set.
    """

    def should_stop() -> None:
        if stop is not None and stop.is_set():
            raise Interrupted(
                "Stopped before everything was compared.",
                remedy="run the same command again; it begins anew, and what was repaired is kept.",
            )

    with connect(dsn, purpose="check-aggregates") as conn:
        name = _named(conn, table)
        only = None if aggregate is None else _named(conn, aggregate)
        return check(
            conn,
            name,
            only=only,
            samples=samples,
            every=every,
            seed=seed,
            repair=repair,
            say=say,
            should_stop=should_stop,
        )


def _named(conn: Connection, text: str) -> TableName:
    return resolve_table(conn, text)[1]
