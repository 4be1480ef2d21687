"""The swap and the swap back. See README.md."""

from . import dropped
from .runner import CutoverPreview, Gate, run_swap
from .swap import lock_statements, swap_statements
from .validate import validate_foreign_keys

__all__ = [
    "CutoverPreview",
    "Gate",
    "dropped",
    "lock_statements",
    "run_swap",
    "swap_statements",
    "validate_foreign_keys",
]
