"""What each version and edition of TimescaleDB can: one table, asked by name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import Refused


@dataclass(frozen=True)
class Capability:
    """Something that not every TimescaleDB can do: from which version, in which edition."""

    name: str
    what: str
    since: tuple[int, int]
    community: bool = False  # only in the Community edition


def _table(*rows: Capability) -> dict[str, Capability]:
    return {row.name: row for row in rows}


CAPABILITIES = _table(
    Capability("hypertables", "hypertables as hyperferry makes them", (2, 9)),
    Capability("by_range", "create_hypertable() with by_range()", (2, 13)),
    Capability("fk_to_hypertables", "foreign keys that point at a hypertable", (2, 16)),
    Capability("transition_tables", "statement triggers with transition tables on a hypertable", (2, 18)),
    Capability("columnstore", "the columnstore under that name", (2, 18), community=True),
    Capability("compression", "compression under its old names", (2, 0), community=True),
    Capability(
        "changed_compression", "other settings of compression beside compressed chunks", (2, 14), community=True
    ),
    Capability("policies", "retention, compression and refresh policies", (2, 0), community=True),
    Capability("continuous_aggregates", "continuous aggregates", (2, 0), community=True),
    Capability("forced_refresh", "refreshing what is not logged as changed", (2, 18), community=True),
    Capability(
        "triggerless_aggregates", "continuous aggregates without a trigger on what they read", (2, 23), community=True
    ),
    Capability("attach_chunk", "attach_chunk() and detach_chunk()", (2, 21), community=True),
    Capability("index_adoption", "an index on the root that adopts its chunks' indexes", (2, 22)),
    Capability("uuid_time", "a UUIDv7 as the time column", (2, 22)),
    Capability("chunk_locks", "UPDATE and DELETE that lock only the chunks that they touch", (2, 29)),
    Capability("unlogged", "unlogged hypertables", (2, 23)),
)
"""Sources: TimescaleDB's changelog, and the facts that were measured."""


def version_of(text: str) -> tuple[int, int]:
    """Major and minor of '2.19.3' or '2.20.0-dev'; (0, 0) for what is no version."""
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def has(name: str, version: str | None, edition: str | None) -> bool:
    """Whether a TimescaleDB of that version and edition can do it. Raises KeyError for a name that is not
    in the table."""
    capability = CAPABILITIES[name]
    if version is None or version_of(version) < capability.since:
        return False
    return not capability.community or edition == "community"


def require(name: str, version: str | None, edition: str | None) -> None:
    """Raises Refused, with what is there and what is needed, where `has` is false."""
    if has(name, version, edition):
        return
    capability = CAPABILITIES[name]
    need = f"TimescaleDB {capability.since[0]}.{capability.since[1]}"
    raise Refused(
        f"This server cannot do {capability.what}.",
        facts={
            "have": f"TimescaleDB {version}, {edition or 'unknown'} edition" if version else "no TimescaleDB",
            "need": need + (" or later, Community edition" if capability.community else " or later"),
        },
        remedy="upgrade TimescaleDB in this database, or choose a way that does without.",
    )
