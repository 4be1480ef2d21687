"""Inspection -> findings, by one rule a file. See README.md."""

from .registry import RULES, Rule, run

__all__ = ["RULES", "Rule", "run"]
