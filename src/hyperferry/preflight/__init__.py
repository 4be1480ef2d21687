"""Inspection -> findings, by one rule a file. See README.md."""

from ..model.rules import Rule
from .registry import RULES, run

__all__ = ["RULES", "Rule", "run"]
