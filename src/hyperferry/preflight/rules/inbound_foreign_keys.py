"""Foreign keys of other tables that point at this one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from ...model.finding import Finding
from ...model.given_up import is_given, why_not_kept, why_not_moved
from ...model.inspection import InboundKey, Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ...model.plan import Strategy
from ..words import BLUE_GREEN, blocker, note, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """Foreign keys of other tables that point at this one."""
    for key in inspection.inbound_keys:
        drop = f"ALTER TABLE {key.table.quoted} DROP CONSTRAINT {quote_ident(key.name)};"
        what = (
            f"The foreign key {key.name} of {key.table} points at {inspection.table.name} "
            f"({', '.join(key.referenced_columns)})"
        )
        if options.strategy is Strategy.IN_PLACE:
            yield blocker(
                f"{what}, and PostgreSQL does not empty a table that one points at.", f"{drop} or blue-green."
            )
            continue
        unmovable = why_not_moved(inspection, key)
        if unmovable:
            yield blocker(f"{what}: {unmovable}.", drop, only=BLUE_GREEN)
        elif not key.owned:
            yield blocker(
                f"{what}, and {key.table} belongs to {key.owner}, of whom {inspection.server.role} is no member: "
                "the key could not be dropped from the table that goes.",
                f"GRANT {quote_ident(key.owner)} TO {quote_ident(inspection.server.role)}; or connect as a superuser.",
                only=BLUE_GREEN,
            )
        else:
            yield _fate(inspection, key, what, options, drop)


def _fate(
    inspection: Inspection, key: InboundKey, what: str, options: PreflightOptions, drop: str
) -> Finding:
    """Kept, dropped as was asked for, or refused."""
    if is_given(key, options.drop_inbound_fks):
        return warning(
            f"{what}: it is dropped in the cutover, as asked for. From then on nothing keeps {key.table} from holding rows "
            "that point nowhere, and no ON DELETE or ON UPDATE of it happens. A rollback puts it "
            "back, and validates it afterwards.",
            "have the application or a trigger see to it.",
            only=BLUE_GREEN,
        )
    why = why_not_kept(inspection, key)
    if why is None:
        return note(
            f"{what}: it is put on the hypertable NOT VALID in the cutover, and validated after it. That takes about a second "
            "for 1,000 chunks, while writers wait.",
            f"nothing; or, to be rid of it in the cutover: --drop-inbound-fk {shlex.quote(key.identity)}",
            only=BLUE_GREEN,
        )
    return blocker(
        f"{what}: {why}.",
        f"have it dropped in the cutover (a rollback puts it back): --drop-inbound-fk {shlex.quote(key.identity)} "
        "or drop it now: "
        f"{drop} and let the application or a trigger see to it.",
        only=BLUE_GREEN,
    )
