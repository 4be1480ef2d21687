"""A hypertable cannot be published."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from ...model.finding import Finding
from ...model.given_up import leaves
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ...model.plan import Strategy
from ..words import BLUE_GREEN, blocker, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """A hypertable cannot be published."""
    table = inspection.table.name
    facts = inspection.replication
    why = "Rows of a hypertable are in its chunks, and new chunks would not be published; TimescaleDB refuses the table."
    for member in facts.memberships:
        name = quote_ident(member.name)
        drop = f"ALTER PUBLICATION {name} DROP TABLE {table.quoted};"
        if options.strategy is Strategy.IN_PLACE or not leaves(member, options.drop_from_publications):
            also = (
                ""
                if options.strategy is Strategy.IN_PLACE
                else " or have that done in the cutover, and undone by a rollback: "
                f"--drop-from-publication {shlex.quote(member.name)}"
            )
            yield blocker(f"The publication {member.name} publishes {table}. {why}", drop + also)
        elif not member.owned:
            yield blocker(
                f"The publication {member.name} belongs to {member.owner}, of whom {inspection.server.role} is no member: "
                f"{table} could not be taken out of it.",
                f"GRANT {quote_ident(member.owner)} TO {quote_ident(inspection.server.role)}; or as a superuser: {drop}",
                only=BLUE_GREEN,
            )
        else:
            yield warning(
                f"{table} leaves the publication {member.name} in the cutover, as asked for: its subscribers receive nothing of "
                "it from then on. A rollback puts it back, with its columns and filter; what was written in "
                "between they never receive.",
                "on each subscriber see to the table; after a rollback copy it anew.",
                only=BLUE_GREEN,
            )
    for publication in facts.schema_publications:
        yield blocker(
            f"The publication {publication} publishes all tables of schema {table.schema}, which the hypertable is "
            f"to be in. {why}",
            f"name the tables one by one, without {table.name}: ALTER PUBLICATION {quote_ident(publication)} "
            f"DROP TABLES IN SCHEMA {quote_ident(table.schema)}; ALTER PUBLICATION {quote_ident(publication)} ADD TABLE ...;",
        )
