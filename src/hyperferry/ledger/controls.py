"""Limits that were set for a rollout, and what its throttle last decided: how one process steers and sees another."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from ..db import execute, fetch_one, fetch_value, load_queries
from ..db.connection import Connection


def _sql(name: str) -> Any:
    return load_queries(__package__, "controls.sql")[name]


def limits(conn: Connection, rollout_id: int) -> dict[str, str]:
    """The limits that were set for this rollout, as their setter wrote them."""
    if not fetch_value(conn, _sql("there")):
        return {}
    return dict(fetch_value(conn, _sql("limits"), {"id": rollout_id}) or {})


def set_limits(conn: Connection, rollout_id: int, wishes: Mapping[str, str | None]) -> dict[str, str]:
    """Sets limits for this rollout and returns all that are set now; None forgets one."""
    return dict(fetch_value(conn, _sql("set_limits"), {"id": rollout_id, "limits": Jsonb(dict(wishes))}))


def note_state(conn: Connection, rollout_id: int, state: Mapping[str, Any]) -> None:
    """Records a decision of this session's."""
    execute(conn, _sql("note_state"), {"id": rollout_id, "state": Jsonb(dict(state))})


def state(conn: Connection, rollout_id: int) -> tuple[dict[str, Any], datetime] | None:
    """The last decision and when it was made; None where nobody decides now."""
    if not fetch_value(conn, _sql("there")):
        return None
    row = fetch_one(conn, _sql("state"), {"id": rollout_id})
    return None if row is None or row[0] is None else (dict(row[0]), row[1])
