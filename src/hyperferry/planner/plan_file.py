"""The plan file: JSON that can be read and kept in version control, with a checksum so that an edited one is
noticed.

A plan is what was decided for one catalog; a line changed by hand would be done without having been thought
through. Whoever wants another plan makes another one.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..errors import Refused
from ..model.plan import PLAN_FORMAT, Plan

_KIND = "hyperferry plan"


@cache
def _adapter() -> TypeAdapter[Plan]:
    """Made when it is first wanted: that takes longer than most commands need it for."""
    return TypeAdapter(Plan)


def _checksum(plan: Any) -> str:
    canonical = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()


def dump_plan(plan: Plan) -> str:
    """The plan as the text of a plan file, with a newline at its end."""
    body = _adapter().dump_python(plan, mode="json")
    document = {"kind": _KIND, "format": plan.format, "checksum": _checksum(body), "plan": body}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def load_plan(text: str) -> Plan:
    """The plan of a plan file. Raises Refused for anything that is not exactly what `dump_plan` wrote."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _refused(
            "The plan file is not complete JSON: it is cut off, or no plan file.", error=str(error)
        ) from None
    if not isinstance(document, dict) or document.get("kind") != _KIND:
        raise _refused("The file is not a plan of hyperferry.")
    if document.get("format") != PLAN_FORMAT:
        raise _refused(
            "The plan file was written by another version of hyperferry.",
            **{"format of the file": document.get("format"), "format of this version": PLAN_FORMAT},
        )
    body = document.get("plan")
    if document.get("checksum") != _checksum(body):
        raise _refused("The plan file was changed after it was written: its checksum does not match.")
    try:
        return _adapter().validate_python(body)
    except ValidationError as error:
        first = error.errors()[0]
        raise _refused(
            "The plan file does not hold a plan that this version understands.",
            where=".".join(str(part) for part in first["loc"]),
            problem=first["msg"],
        ) from None


def _refused(message: str, **facts: object) -> Refused:
    return Refused(
        message, facts=facts, remedy="make the plan again: hyperferry plan TABLE --time COLUMN --out FILE."
    )
