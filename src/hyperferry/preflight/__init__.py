"""Inspection -> findings, by one rule a file. See README.md."""

from .registry import RULES, run

__all__ = ["RULES", "run"]
