"""PostgreSQL's and TimescaleDB's catalogs -> Inspection; one table of capabilities. See README.md."""

from .capabilities import CAPABILITIES, Capability, has, require
from .fingerprint import fingerprint, fingerprint_expression
from .inspect import inspect
from .resolve import resolve_table
from .scan import estimate_scan_seconds

__all__ = [
    "CAPABILITIES",
    "Capability",
    "estimate_scan_seconds",
    "fingerprint",
    "fingerprint_expression",
    "has",
    "inspect",
    "require",
    "resolve_table",
]
