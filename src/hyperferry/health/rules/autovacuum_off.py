"""Autovacuum that is switched off, for all or for some chunks."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..autovacuum import enabled
from ..words import critical, listed, plural, short, warning


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Autovacuum that is switched off, for all or for some chunks."""
    if facts.settings.get("autovacuum", "on") != "on" or facts.settings.get("track_counts", "on") != "on":
        yield critical(
            "Autovacuum is off on this server (autovacuum or track_counts): dead rows stay, statistics grow old, and only "
            "wraparound wakes it.",
            "ALTER SYSTEM SET autovacuum = on; ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf();",
        )
        return
    off = [each for each in facts.relations if not enabled(facts, each)]
    if off:
        yield warning(
            f"Autovacuum is off for {plural(len(off), 'table')} of this hypertable (autovacuum_enabled = false): "
            f"{listed([short(each) for each in off])}.",
            f"ALTER TABLE {off[0].name.quoted} RESET (autovacuum_enabled); and so on; new chunks inherit it from the hypertable: "
            f"ALTER TABLE {facts.table.quoted} RESET (autovacuum_enabled);",
        )
