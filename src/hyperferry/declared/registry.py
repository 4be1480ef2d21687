"""The rules, by import: each module of `rules` is one, named as its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..model.difference import Refusal
from ..model.rules import Rule, load_rules
from . import rules
from .outcome import Case

Check = Callable[[Case], Iterator[Refusal]]


RULES: dict[str, Rule[Check]] = load_rules(rules)
"""The rules by name, in the order of the names."""


def refusals_of(case: Case) -> tuple[Refusal, ...]:
    """What every rule refuses, each of one key once by a rule."""
    found = [replace(each, rule=rule.name) for rule in RULES.values() for each in rule.check(case)]
    return tuple(dict.fromkeys(found))
