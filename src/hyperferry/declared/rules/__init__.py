"""Wishes that are refused: one rule a file, pure. Each has a section of its name in docs/declared.md."""

from ...model.difference import Refusal


def refusal(key: str, message: str, remedy: str) -> Refusal:
    """A refusal of the thing of that key. The registry puts the rule's name in."""
    return Refusal("", key, message, remedy)
