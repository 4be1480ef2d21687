"""Plans as JSON text, both for the ledger and for the plan file."""

from __future__ import annotations

from functools import cache

from pydantic import TypeAdapter

from ..model.plan import Plan


@cache
def _adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def dump_plan_json(plan: Plan) -> str:
    """The plan as one JSON object."""
    return _adapter().dump_json(plan).decode()


def load_plan_json(text: str) -> Plan:
    """The plan back from `dump_plan_json`. Raises pydantic.ValidationError (a ValueError) for anything else."""
    return _adapter().validate_json(text)
