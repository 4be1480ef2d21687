"""The rules, by import: each module of `rules` is one, named as its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ..errors import Refused
from ..model.difference import Refusal
from ..model.rules import Rule, load_rules
from ..words import plural
from . import rules
from .outcome import Case

Check = Callable[[Case], Iterator[Refusal]]


RULES: dict[str, Rule[Check]] = load_rules(rules)
"""The rules by name, in the order of the names."""


def refusals_of(case: Case) -> tuple[Refusal, ...]:
    """What every rule refuses, each of one key once by a rule."""
    found = [replace(each, rule=rule.name) for rule in RULES.values() for each in rule.check(case)]
    return tuple(dict.fromkeys(found))


def as_error(of_what: object, refusals: Sequence[Refusal], remedy: str) -> Refused:
    """The refusals as one error, each with what can be done instead."""
    told = [f"{each.message} What to do: {each.remedy}" for each in refusals]
    once = len({each.rule for each in refusals}) == len(refusals)
    return Refused(
        f"What the file wants of {of_what} cannot be done as it stands: {plural(len(refusals), 'refusal')}.",
        facts={
            each.rule if once else f"{number} {each.rule}": text
            for number, (each, text) in enumerate(zip(refusals, told, strict=True), 1)
        },
        remedy=remedy,
    )
