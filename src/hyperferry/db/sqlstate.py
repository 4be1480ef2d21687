"""What a failure means, by its SQLSTATE class."""

from __future__ import annotations

import psycopg

LOCK_FAILURES = frozenset({"55P03", "40P01"})  # lock_not_available, deadlock_detected
SERIALIZATION = frozenset({"40001"})
LOST = frozenset({"57P01", "57P02", "57P03", "25P03", "25P04", "57P05"})  # shutdowns, our session ended by a time limit
DATA_ERRORS = ("22", "23")  # data exceptions, integrity constraint violations
# Timeouts that the user or the server's administrator may have set: trying again may succeed.
CANCELLED = frozenset({"57014"})


def state_of(error: BaseException) -> str:
    """The SQLSTATE of an error, '' where it has none (the client noticed it, not the server)."""
    return getattr(error, "sqlstate", None) or ""


def is_lock_failure(error: BaseException) -> bool:
    """A lock was not to be had, or we were the victim of a deadlock: release everything and try again."""
    return state_of(error) in LOCK_FAILURES


def is_transient(error: BaseException) -> bool:
    """The same transaction may succeed when it is run again: lock failures and serialization failures."""
    return state_of(error) in LOCK_FAILURES | SERIALIZATION


def is_lost_connection(error: BaseException) -> bool:
    """The session is gone; what it had not committed is undone, what it was committing is unknown."""
    state = state_of(error)
    if state:
        return state in LOST or state.startswith("08")
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def is_unique_violation(error: BaseException) -> bool:
    """Two rows want one key (unique or exclusion)."""
    return state_of(error) in {"23505", "23P01"}


def is_row_refused(error: BaseException) -> bool:
    """The table cannot take a row as it is: a NULL or infinite time, a CHECK, a value out of range."""
    return state_of(error)[:2] in DATA_ERRORS or state_of(error) in {"P0001", "44000", "0A000"}
