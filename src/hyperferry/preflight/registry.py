"""The rules, by import: each module of `rules` is one, named as its file."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module

from ..model.finding import Finding, Level
from ..model.inspection import Inspection
from ..model.options import PreflightOptions
from . import rules

Check = Callable[[Inspection, PreflightOptions], Iterator[Finding]]

_ORDER = {Level.BLOCKER: 0, Level.WARNING: 1, Level.NOTE: 2}


@dataclass(frozen=True)
class Rule:
    """A rule: its check, the first line of its docstring, and whether it says anything useful of a relation
    that cannot become a hypertable at all (its module then sets ANY_RELATION)."""

    name: str
    check: Check
    summary: str
    any_relation: bool


def _load() -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for file in sorted(module.name for module in pkgutil.iter_modules(rules.__path__)):
        module = import_module(f"{rules.__name__}.{file}")
        name = file.replace("_", "-")
        summary = (module.__doc__ or "").partition("\n")[0]
        found[name] = Rule(name, module.check, summary, getattr(module, "ANY_RELATION", False))
    return found


RULES: dict[str, Rule] = _load()
"""The rules by name, in the order of the names."""


def run(inspection: Inspection, options: PreflightOptions | None = None) -> tuple[Finding, ...]:
    """The findings of all rules that hold for the strategy of `options`: blockers first, then warnings, then
    notes, each by rule. Of a relation that is no ordinary table only the rules for any relation are asked."""
    chosen = options or PreflightOptions()
    findings = [
        replace(finding, rule=rule.name)
        for rule in RULES.values()
        if rule.any_relation or inspection.table.kind == "table"
        for finding in rule.check(inspection, chosen)
        if not finding.strategies or chosen.strategy in finding.strategies
    ]
    return tuple(sorted(findings, key=lambda finding: (_ORDER[finding.level], finding.rule)))
