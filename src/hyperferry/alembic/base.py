"""What all operations are: about one table, with arguments that a revision gave, and statements that they come to."""

from __future__ import annotations

from typing import Any

from alembic.operations import MigrateOperation

from .statements import Table


class TableOperation(MigrateOperation):
    """An operation on one table. `given` are its arguments as a revision has them, those that are not the default."""

    name = ""

    def __init__(self, table_name: str, schema: str | None, **given: Any) -> None:
        self.table_name, self.schema = table_name, schema
        self.given = given

    @property
    def table(self) -> Table:
        """The table that it is about."""
        return Table(self.table_name, self.schema)

    def statements(self) -> tuple[str, ...]:
        """What is run, in order."""
        raise NotImplementedError

    def reverse(self) -> MigrateOperation:
        """The operation that undoes it. Raises NotImplementedError, with what is missing, where there is none."""
        raise NotImplementedError(
            f"{self.name} has no reverse that could be told from what it was given: write it out"
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """As alembic.autogenerate.compare_metadata lists it."""
        return (self.name, self.schema, self.table_name, self.given)
