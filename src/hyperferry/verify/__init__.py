"""Exact parity of the two tables while writers run (invariant I8). See README.md."""

from .compare import Task, compare_range
from .excuses import excused_by_others
from .pairwise import excused_check, excused_groups
from .verification import verify

__all__ = ["Task", "compare_range", "excused_by_others", "excused_check", "excused_groups", "verify"]
