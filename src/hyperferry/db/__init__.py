"""Connections, session settings, attempts at locks, SQLSTATE classes, the loader of .sql files. See README.md."""

from .connection import SESSION_SETTINGS, connect, execute, fetch_all, fetch_one, fetch_value
from .locks import (
    Blocker,
    LockMode,
    blockers_of,
    cancel_autovacuum,
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
    "SESSION_SETTINGS",
    "Blocker",
    "LockMode",
    "Queries",
    "blockers_of",
    "cancel_autovacuum",
    "connect",
    "execute",
    "fetch_all",
    "fetch_one",
    "fetch_value",
    "is_lock_failure",
    "is_lost_connection",
    "is_row_refused",
    "is_transient",
    "is_unique_violation",
    "load_queries",
    "pause_seconds",
    "snapshot_holders_of",
    "yield_and_retry",
]
