"""A finish that was interrupted between its two transactions."""

from __future__ import annotations

from ..db.connection import Connection
from ..model.rollout import Phase, Rollout
from . import store


def half_finished(conn: Connection, rollout: Rollout) -> bool:
    """A finish took capture off the hypertable and was interrupted before it was done."""
    events = store.last_events(conn, rollout.id, ["finishing", "swap"])
    return rollout.phase is Phase.CUT_OVER and bool(events) and events[0][1] == "finishing"
