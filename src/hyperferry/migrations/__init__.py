"""A project's Alembic migrations, run and looked at before they reach production. See README.md."""

from .accept import RULES
from .options import CheckOptions, CheckReport, Finding, Level, Lock, Revision, RevisionReport
from .sizes import LARGE_ROWS, Sizes, rows_of, sizes_of
from .story import check

__all__ = [
    "LARGE_ROWS",
    "RULES",
    "CheckOptions",
    "CheckReport",
    "Finding",
    "Level",
    "Lock",
    "Revision",
    "RevisionReport",
    "Sizes",
    "check",
    "rows_of",
    "sizes_of",
]
