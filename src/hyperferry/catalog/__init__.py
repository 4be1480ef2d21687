"""PostgreSQL's and TimescaleDB's catalogs -> Inspection; one table of capabilities. See README.md."""

from .capabilities import CAPABILITIES, Capability, has, require
from .dependents import dependents
from .fingerprint import fingerprint, fingerprint_expression
from .inspect import inspect
from .needs import rights_report
from .resolve import is_there, name_of, parse_name, resolve_table
from .server import refuse_overloads

__all__ = [
    "CAPABILITIES",
    "Capability",
    "dependents",
    "fingerprint",
    "fingerprint_expression",
    "has",
    "inspect",
    "is_there",
    "name_of",
    "parse_name",
    "refuse_overloads",
    "require",
    "resolve_table",
    "rights_report",
]
