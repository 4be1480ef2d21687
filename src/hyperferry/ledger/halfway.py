"""What was interrupted between two transactions: a finish, and what comes after a swap's commit."""

from __future__ import annotations

from typing import Any

from ..db.connection import Connection
from ..model.rollout import Phase, Rollout
from . import store


def half_finished(conn: Connection, rollout: Rollout) -> bool:
    """A finish took capture off the hypertable and was interrupted before it was done."""
    events = store.last_events(conn, rollout.id, ["finishing", "swap"])
    return rollout.phase is Phase.CUT_OVER and bool(events) and events[0][1] == "finishing"


def swap_to_settle(conn: Connection, rollout: Rollout) -> dict[str, Any] | None:
    """What the ledger knows of the table as the last swap left it, where what comes after that swap was not done to its end: `{}`
    where nothing was noted. None where nothing is missing."""
    events = store.last_events(conn, rollout.id, ["swap", "fingerprint"])
    if not events:
        return None
    _, kind, detail = events[0]
    if kind == "swap":
        return {}
    return None if detail.get("settled", True) else dict(detail)


def unsettled(conn: Connection, rollout: Rollout) -> bool:
    """The last swap is committed, and what comes after it (noting what hangs on the table, validating its foreign keys) was not
    done to its end."""
    return rollout.phase in (Phase.CUT_OVER, Phase.ROLLED_BACK) and swap_to_settle(conn, rollout) is not None
