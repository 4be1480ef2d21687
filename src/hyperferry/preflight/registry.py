"""The rules, by import: each module of `rules` is one, named as its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..model.finding import Finding, Level
from ..model.inspection import Inspection
from ..model.options import PreflightOptions
from ..model.rules import Rule, load_rules
from . import rules

Check = Callable[[Inspection, PreflightOptions], Iterator[Finding]]

_ORDER = {Level.BLOCKER: 0, Level.WARNING: 1, Level.NOTE: 2}

RULES: dict[str, Rule[Check]] = load_rules(rules)
"""The rules by name, in the order of the names."""


def run(inspection: Inspection, options: PreflightOptions | None = None) -> tuple[Finding, ...]:
    """The findings of all rules that hold for the strategy of `options`: blockers first, then warnings, then
    notes, each by rule. Of a relation that cannot become a hypertable at all only those rules are asked whose module sets
    ANY_RELATION."""
    chosen = options or PreflightOptions()
    findings = [
        replace(finding, rule=rule.name)
        for rule in RULES.values()
        if getattr(rule.module, "ANY_RELATION", False) or inspection.table.kind == "table"
        for finding in rule.check(inspection, chosen)
        if not finding.strategies or chosen.strategy in finding.strategies
    ]
    return tuple(sorted(findings, key=lambda finding: (_ORDER[finding.level], finding.rule)))
