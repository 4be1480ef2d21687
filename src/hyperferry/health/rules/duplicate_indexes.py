"""Indexes that another one makes superfluous."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding, IndexFacts
from ..words import note, warning


def _begins(index: IndexFacts, other: IndexFacts) -> bool:
    """Whether the keys of a plain B-tree are the first ones of another, in the same order and directions."""
    if index.enforces or index.partial or other.partial or index.method != "btree" or other.method != "btree":
        return False
    if None in index.columns or None in other.columns or len(index.columns) != index.key_columns:
        return False
    longer = other.columns[: other.key_columns]
    if len(longer) <= len(index.columns) or longer[: len(index.columns)] != index.columns:
        return False
    mine, theirs = index.key.split("/"), other.key.split("/")
    return all(theirs[part].split()[: len(mine[part].split())] == mine[part].split() for part in (1, 2, 3))


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Indexes that another one makes superfluous."""
    for index in facts.indexes:
        for other in facts.indexes:
            if index.oid == other.oid or not index.valid or not other.valid:
                continue
            made = " ".join(index.definition.split())  # in one line, whatever is in a name
            if index.key == other.key and not index.enforces and (other.enforces or other.oid < index.oid):
                yield warning(
                    f"The index {index.name} is the same as "
                    f"{other.name}.", f"DROP INDEX {index.name.quoted};  -- {made};"
                )
                break
            if _begins(index, other):
                yield note(
                    f"The index {index.name} is the beginning of {other.name}, which serves the same queries, with wider "
                    "entries.",
                    f"where its size does not matter to a query: DROP INDEX {index.name.quoted};  -- {made};",
                )
                break
