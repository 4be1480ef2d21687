"""Which tables are large where it matters, in production. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hyperferry.errors import Usage
from hyperferry.model.names import TableName, name_parts

LARGE_ROWS = 100_000
"""Rows from which on a table is large: as many as `op.create_hypertable` rewrites without being told that it may."""

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Sizes:
    """Rows by table, as far as they are known, and the tables that were said to be large. A name without a schema means the table
    in whatever schema. `every`: each table counts as large whose rows are not known."""

    rows: tuple[tuple[Parts, int], ...] = ()
    large: frozenset[Parts] = frozenset()
    every: bool = False
    limit: int = LARGE_ROWS

    def known(self, table: TableName) -> int | None:
        """The table's rows; the last word counts. None where nobody said."""
        found = [rows for parts, rows in self.rows if _meant(parts, table)]
        return found[-1] if found else None

    def is_large(self, table: TableName) -> bool:
        """Whether a long lock on it would be felt."""
        if any(_meant(parts, table) for parts in self.large):
            return True
        rows = self.known(table)
        return self.every if rows is None else rows >= self.limit

    @property
    def silent(self) -> bool:
        """Whether nothing says of any table that it is large."""
        return not (self.large or self.every or any(rows >= self.limit for _, rows in self.rows))

    def under(self, rows: Iterable[tuple[TableName, int]]) -> Sizes:
        """The same over what statistics say: what was given counts more."""
        return replace(self, rows=tuple(((each.schema, each.name), many) for each, many in rows) + self.rows)


def sizes_of(large: Iterable[str], rows: Iterable[tuple[str, int]], *, limit: int | None = None) -> Sizes:
    """Sizes by names as users write them; `*` among the large: every table."""
    wishes = [each.strip() for each in large]
    return Sizes(
        tuple((name_parts(name), many) for name, many in rows),
        frozenset(name_parts(each) for each in wishes if each != "*"),
        "*" in wishes,
        LARGE_ROWS if limit is None else limit,
    )


def rows_of(text: str) -> tuple[str, int]:
    """`player_stats=20_000_000` -> the table and its rows. Raises Usage."""
    table, equals, number = text.rpartition("=")
    digits = number.strip().replace("_", "").replace(",", "")
    if not equals or not table.strip() or not digits.isdigit():
        raise Usage(
            f"--rows {text} is not understood.", remedy="give TABLE=N, such as --rows player_stats=20000000."
        )
    return table.strip(), int(digits)


def _meant(parts: Parts, table: TableName) -> bool:
    return parts[-2:] == (table.schema, table.name)[-min(len(parts), 2) :]
