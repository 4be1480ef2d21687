"""Views, rules and policies of other tables are pointed at the hypertable in the cutover, but for temporary ones."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker, listed, note

MOVED = ("view", "rule", "policy")
BODIES = ("function", "procedure")


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Views, rules and policies of other tables are pointed at the hypertable in the cutover, but for temporary ones."""
    direct = [each for each in inspection.dependents if each.direct and "rowtype" not in each.via]
    for dependent in direct:
        if not dependent.temporary or dependent.kind not in MOVED + BODIES:
            continue
        pid, of = dependent.session, dependent.of or dependent.name
        whose = f"pid {pid}" if pid else f"the session that has the schema {of.schema}"
        end = f"; or end it: SELECT pg_terminate_backend({pid});" if pid else "; or end that session."
        word = {"view": f"DROP VIEW {dependent.identity};"}.get(dependent.kind)
        drop = f", or a superuser from any other ({word})" if word else ""
        yield blocker(
            f"The temporary {dependent.kind} {dependent.identity} of {whose} (role {dependent.owner}) names "
            f"{inspection.table.name}, and nobody but that session can point it at the hypertable: it would go on with the "
            "old table, and what is written through it would be lost.",
            f"have that session drop it{drop}{end} (After a crash of the server such a thing can be left without its session: "
            "then nothing but a superuser's DROP helps.) The application may make it again after the cutover, or make it on a "
            "view of the table, which a cutover leaves in place.",
            only=BLUE_GREEN,
        )
    moved = [f"{each.kind} {each.identity}" for each in direct if each.kind in MOVED and not each.temporary]
    if moved:
        yield note(
            "These are pointed at the hypertable in the cutover without being dropped, with their grants, options and comments: "
            f"{listed(moved)}.",
            "nothing.",
            only=BLUE_GREEN,
        )
