"""What a hypertable cannot keep and the user gives up by name: foreign keys that point at the table, publications."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .inspection import InboundKey, Inspection, Membership
from .names import name_parts

SINCE = (2, 21, 1)
"""TimescaleDB that lets a foreign key point at a hypertable, and keeps it: from 2.16 on it does the first, but until 2.21.1 the
check of a session that made it five times already finds no row (its pull request 8336; seen on 2.19.3)."""
BY_INDEX_SINCE = (2, 26, 0)
"""TimescaleDB that makes a new chunk where such a key leans on a unique index that is no constraint (its pull request 9378)."""
PARTITIONED_SINCE = 180000
"""PostgreSQL that takes a NOT VALID foreign key of a partitioned table."""


def why_not_kept(inspection: Inspection, key: InboundKey) -> str | None:
    """Why the key cannot point at the hypertable, in a clause; None where it can."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", inspection.server.timescaledb_installed or "")
    version = tuple(int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    if key.table == inspection.table.name or key.hypertable:
        return "a foreign key of one hypertable cannot point at another, nor at itself"
    if inspection.time_column not in key.referenced_columns:
        return f"a hypertable has no unique key without {inspection.time_column}"
    if version < SINCE:
        return (
            "before TimescaleDB 2.21.1 a foreign key that points at a hypertable refuses rows that are right"
        )
    columns = {*key.referenced_columns}
    by_index = [
        i
        for i in inspection.indexes
        if i.unique and i.constraint is None and {c.column for c in i.columns} == columns
    ]
    if version < BY_INDEX_SINCE and by_index:
        return (
            f"it may lean on the index {by_index[0].name}, which is no constraint, and before TimescaleDB 2.26 a "
            "hypertable makes no new chunk then"
        )
    return None


def why_not_moved(inspection: Inspection, key: InboundKey) -> str | None:
    """Why the key can be neither kept nor put back by a rollback, in a clause; None where it can."""
    if key.table_kind == "p" and inspection.server.version_num < PARTITIONED_SINCE:
        return (
            f"{key.table} is partitioned, and PostgreSQL takes a foreign key of such a table without checking every row under "
            "its locks only from version 18 on"
        )
    if not key.ordinary:
        return "its triggers are not enabled in the ordinary way, which a key that is made anew would be"
    return None


def named(key: InboundKey, given: str) -> bool:
    """Whether the user means this key by `constraint`, `table.constraint` or `schema.table.constraint`."""
    parts = name_parts(given)
    return (key.table.schema, key.table.name, key.name)[-len(parts) :] == parts


def is_given(key: InboundKey, given: Iterable[str]) -> bool:
    """Whether one of the names means this key."""
    return any(named(key, each) for each in given)


def kept(inspection: Inspection, given: Iterable[str]) -> tuple[InboundKey, ...]:
    """The keys that point at the hypertable after the cutover: all that can, but those that were given up."""
    names = tuple(given)
    return tuple(
        key
        for key in inspection.inbound_keys
        if why_not_kept(inspection, key) is None and not is_given(key, names)
    )


def leaves(member: Membership, given: Iterable[str]) -> bool:
    """Whether one of the names means this publication: as it is, or as SQL would read it."""
    return any(member.name == name or (member.name,) == name_parts(name) for name in given)


def unknown_keys(inspection: Inspection, given: Iterable[str]) -> list[str]:
    """The names that mean no foreign key which points at the table."""
    return [name for name in given if not any(named(key, name) for key in inspection.inbound_keys)]


def unknown_publications(inspection: Inspection, given: Iterable[str]) -> list[str]:
    """The names that mean no publication which names the table."""
    members = inspection.replication.memberships
    return [name for name in given if not any(leaves(member, [name]) for member in members)]
