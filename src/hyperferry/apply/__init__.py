"""Applies the change log by state, pair by pair. See README.md."""

from .applier import Applied, Applier, backlog_size, quarantine_size, requeue_quarantined
from .tidy import tidy_log

__all__ = ["Applied", "Applier", "backlog_size", "quarantine_size", "requeue_quarantined", "tidy_log"]
