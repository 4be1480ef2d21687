"""The role must own the table and be able to create schemas."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.names import quote_ident
from ...model.options import PreflightOptions
from ..words import BLUE_GREEN, blocker


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """The role must own the table and be able to create schemas."""
    rights, table, server = inspection.rights, inspection.table, inspection.server
    role = quote_ident(server.role)
    if not rights.owner:
        yield blocker(
            f"Role {server.role} is not a member of {table.owner}, who owns {table.name}.",
            f"connect as {table.owner}, or: GRANT {quote_ident(table.owner)} TO {role};",
        )
    if not rights.create_on_database:
        yield blocker(
            f"Role {server.role} may not create schemas in database {server.database}: "
            "the ledger and the hypertable are built in schemas of their own.",
            f"GRANT CREATE ON DATABASE {quote_ident(server.database)} TO {role};",
            only=BLUE_GREEN,
        )
    if not rights.create_on_schema:
        yield blocker(
            f"Role {server.role} may not create in schema {table.name.schema}, where the hypertable is to "
            "go.",
            f"GRANT CREATE ON SCHEMA {quote_ident(table.name.schema)} TO {role};",
        )
    if not rights.trigger:
        yield blocker(
            f"Role {server.role} may not create triggers on {table.name}.",
            f"GRANT TRIGGER ON {table.name.quoted} TO {role};",
            only=BLUE_GREEN,
        )
    if not rights.select:
        yield blocker(
            f"Role {server.role} may not read {table.name}.",
            f"GRANT SELECT ON {table.name.quoted} TO {role};",
        )
