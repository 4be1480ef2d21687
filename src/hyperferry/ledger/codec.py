"""Plans and inspections as JSON. Plans as text, both for the ledger and for the plan file."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter

from ..model.inspection import Inspection
from ..model.plan import Plan


@cache
def _adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


@cache
def _inspection() -> TypeAdapter[Inspection]:
    return TypeAdapter(Inspection)


def dump_inspection(inspection: Inspection) -> dict[str, Any]:
    """The inspection as what an event's detail can hold."""
    return dict(_inspection().dump_python(inspection, mode="json"))


def load_inspection(detail: object) -> Inspection:
    """The inspection back from `dump_inspection`. Raises pydantic.ValidationError (a ValueError) for anything else."""
    return _inspection().validate_python(detail)


def dump_plan_json(plan: Plan) -> str:
    """The plan as one JSON object."""
    return _adapter().dump_json(plan).decode()


def load_plan_json(text: str) -> Plan:
    """The plan back from `dump_plan_json`. Raises pydantic.ValidationError (a ValueError) for anything else."""
    return _adapter().validate_json(text)
