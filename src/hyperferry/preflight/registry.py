"""The rules, by import: each module of `rules` is one, named as its file."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module

from ..model.finding import Finding, Level
from ..model.inspection import Inspection
from ..model.options import PreflightOptions
from . import rules

Check = Callable[[Inspection, PreflightOptions], Iterator[Finding]]

_ORDER = {Level.BLOCKER: 0, Level.WARNING: 1, Level.NOTE: 2}


def _load() -> dict[str, Check]:
    found: dict[str, Check] = {}
    for module in sorted(module.name for module in pkgutil.iter_modules(rules.__path__)):
        found[module.replace("_", "-")] = import_module(f"{rules.__name__}.{module}").check
    return found


RULES: dict[str, Check] = _load()
"""Rule name -> its check, in the order of the names."""


def run(inspection: Inspection, options: PreflightOptions | None = None) -> tuple[Finding, ...]:
    """The findings of all rules that hold for the strategy of `options`: blockers first, then warnings,
    then notes, each by rule."""
    chosen = options or PreflightOptions()
    findings = [
        replace(finding, rule=name)
        for name, check in RULES.items()
        for finding in check(inspection, chosen)
        if not finding.strategies or chosen.strategy in finding.strategies
    ]
    return tuple(sorted(findings, key=lambda finding: (_ORDER[finding.level], finding.rule)))
