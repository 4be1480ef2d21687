"""What a role needs and what of it it has, for people and for programs."""

from __future__ import annotations

from typing import Any

from hyperferry.model.need import RightsReport
from hyperferry.words import plural

from .text import Line


def rights_lines(report: RightsReport) -> list[Line]:
    """A line a right, the missing ones first."""
    on = f" on {report.table}" if report.table else ""
    state = "" if report.role_exists else " (there is no such role yet)"
    lines = [Line(f"{report.role}{state}, to run hyperferry{on} in database {report.database}", mark="role")]
    for need in sorted(report.needs, key=lambda need: (need.held, need.recommended)):
        if need.held:
            mark, style = "held", "dim"
        elif need.recommended:
            mark, style = "recommended", "bold yellow"
        else:
            mark, style = "missing", "bold red"
        whose = "" if report.grantee(need) == report.quoted_role else f" (for {report.grantee(need)})"
        lines.append(Line(f"{need.what}{whose}: {need.why}", indent=2, mark=mark, mark_style=style))
    missing = len(report.missing)
    lines.append(
        Line(
            f"{plural(missing, 'right')} missing; --sql prints the SQL that gives them." if missing else "Nothing is missing.",
            style="bold",
        )
    )
    return lines


def rights_json(report: RightsReport, script: str | None) -> dict[str, Any]:
    """`role`, `database`, `table`, `missing`, `needs`, and the script where it was asked for."""
    value: dict[str, Any] = {
        "role": report.role,
        "role_exists": report.role_exists,
        "database": report.database,
        "table": report.table,
        "missing": len(report.missing),
        "needs": [
            {
                "right": need.what,
                "grantee": report.grantee(need),
                "why": need.why,
                "held": need.held,
                "required": not need.recommended,
                "grant": report.grant(need),
            }
            for need in report.needs
        ],
    }
    if script is not None:
        value["sql"] = script
    return value
