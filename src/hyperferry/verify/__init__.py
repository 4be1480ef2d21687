"""Exact parity of the two tables while writers run (invariant I8). See README.md."""

from .statements import excused_check
from .verification import verify

__all__ = ["excused_check", "verify"]
