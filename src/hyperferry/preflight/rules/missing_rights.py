"""The role must have every right that a rollout needs; what is missing is named beforehand."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.need import Need, RightsReport
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """The role must have every right that a rollout needs; what is missing is named beforehand."""
    report = inspection.needs
    if report is None:
        return
    for need in report.missing:
        if need.kind != "view owner":  # the rule dependent-owners tells of those, one by one
            yield blocker(
                f"{report.grantee(need)} lacks {need.what}: {need.why}.",
                remedy(report, need),
                only=BLUE_GREEN if need.blue_green_only else (),
            )


def remedy(report: RightsReport, need: Need) -> str:
    """The statement that gives the right; none makes a superuser of anybody."""
    if need.kind == "ledger" and (need.superuser or report.role_superuser):
        return f"run hyperferry as {need.object}, who ran it in this database before: the ledger is that role's."
    if need.membership and need.superuser:
        return (
            f"{need.object} is a superuser, and so would be its members: run hyperferry as {need.object}, or rather give the "
            f"{need.subject} an owner of its own (ALTER {need.subject} OWNER TO app_owner;) and make {report.quoted_role} "
            "a member of that."
        )
    return f"{report.grant(need)} (`hyperferry roles --sql {report.table}` prints all of them)"
