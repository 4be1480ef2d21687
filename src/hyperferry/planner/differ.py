"""In what two plans of one table decide otherwise, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

from ..model.plan import Plan

_MEASURED = frozenset(
    {"table", "fingerprint", "inspection", "findings", "accepts_needed", "notes", "hyperferry_version", "format", "batch_by",
     "image"}
)
"""What a plan says of the table as it was found (by a sample in what order its rows lie, too: nobody wishes that), and of itself.
Whatever else stands in it is done."""


def decided_otherwise(one: Plan, other: Plan) -> dict[str, str]:
    """What the second plan decides otherwise than the first: what about -> how each has it. Empty where they do the same."""
    one, other = _decisions(one), _decisions(other)
    return {
        field.name.replace("_", " "): _both(getattr(one, field.name), getattr(other, field.name))
        for field in fields(Plan)
        if field.name not in _MEASURED and getattr(one, field.name) != getattr(other, field.name)
    }


def _decisions(plan: Plan) -> Plan:
    """The plan without why its chunks are so wide, and with the names of what it gives up in one order."""
    return replace(
        plan,
        interval=replace(plan.interval, reason=()),
        drop_inbound_fks=tuple(sorted(plan.drop_inbound_fks)),
        drop_from_publications=tuple(sorted(plan.drop_from_publications)),
    )


def _both(one: Any, other: Any) -> str:
    if isinstance(one, tuple) and any(map(is_dataclass, (*one, *other))):  # of keys and indexes those that differ
        one, other = [each for each in one if each not in other], [each for each in other if each not in one]
    return f"under way {_text(one)}, in this plan {_text(other)}"


def _text(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if is_dataclass(value):
        parts = ((field.name, getattr(value, field.name)) for field in fields(value))
        return " ".join(f"{name.replace('_', ' ')} {_text(each)}" for name, each in parts if each not in (None, ())) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(_text, value)) or "none"
    return "none" if value is None else str(value)
