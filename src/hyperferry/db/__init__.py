"""Connections, session settings, attempts at locks, SQLSTATE classes, the loader of .sql files. See README.md."""

from .autovacuum import cancel_autovacuum, keep_autovacuum_off, outlast_toast_vacuum
from .connection import SESSION_SETTINGS, connect, connect_beside, execute, fetch_all, fetch_one, fetch_value
from .locks import (
    GONE_MS,
    Blocker,
    FurtherLock,
    LockMode,
    blocker_facts,
    blockers_of,
    deadlock_timeouts_ms,
    exclusive_holders,
    further_locks,
    not_held_by_the_gone,
    patient_read,
    pause_seconds,
    snapshot_holders_of,
    yield_and_retry,
)
from .queries import Queries, load_queries
from .sqlstate import (
    DATA_ERRORS,
    is_lock_failure,
    is_lost_connection,
    is_row_refused,
    is_transient,
    is_unique_violation,
)

__all__ = [
    "DATA_ERRORS",
    "GONE_MS",
    "SESSION_SETTINGS",
    "Blocker",
    "FurtherLock",
    "LockMode",
    "Queries",
    "blocker_facts",
    "blockers_of",
    "cancel_autovacuum",
    "connect",
    "connect_beside",
    "deadlock_timeouts_ms",
    "exclusive_holders",
    "execute",
    "fetch_all",
    "fetch_one",
    "fetch_value",
    "further_locks",
    "is_lock_failure",
    "is_lost_connection",
    "is_row_refused",
    "is_transient",
    "is_unique_violation",
    "keep_autovacuum_off",
    "load_queries",
    "not_held_by_the_gone",
    "outlast_toast_vacuum",
    "patient_read",
    "pause_seconds",
    "snapshot_holders_of",
    "yield_and_retry",
]
