"""Inspection and findings in, plan out: pure, without a connection. See README.md of this folder."""

from .compression import wish_of
from .decide import plan
from .describe import describe
from .differ import decided_otherwise
from .grants import grants_script
from .plan_file import dump_plan, load_plan
from .stale import changes_between, is_stale, without_validity
from .undo import undo_statements

__all__ = [
    "changes_between",
    "decided_otherwise",
    "describe",
    "dump_plan",
    "grants_script",
    "is_stale",
    "load_plan",
    "plan",
    "undo_statements",
    "wish_of",
    "without_validity",
]
