"""The declared state against the database: looked at, and brought about step by step. See README.md."""

from .apply import Report, apply, inspect
from .look import World, refuse_another_file
from .permission import Allowed

__all__ = ["Allowed", "Report", "World", "apply", "inspect", "refuse_another_file"]
