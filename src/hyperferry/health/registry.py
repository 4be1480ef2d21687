"""The rules, by import: each module of `rules` is one, named as its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..model.health import HealthFacts, HealthFinding
from ..model.rules import Rule, load_rules
from . import rules

Check = Callable[[HealthFacts], Iterator[HealthFinding]]


RULES: dict[str, Rule[Check]] = load_rules(rules)
"""The rules by name, in the order of the names."""


def run(facts: HealthFacts) -> tuple[HealthFinding, ...]:
    """The findings of all rules, the worst first, each level by rule."""
    findings = [replace(finding, rule=rule.name) for rule in RULES.values() for finding in rule.check(facts)]
    return tuple(sorted(findings, key=lambda finding: (finding.level.rank, finding.rule)))
