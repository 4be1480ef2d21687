"""Whether the lock table holds a statement that touches every chunk."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding
from ..growth import locks_of_all
from ..words import critical, plural, warning


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Whether the lock table holds a statement that touches every chunk."""
    locks, room = locks_of_all(facts)
    if locks <= room // 2:
        return
    needed = -(-2 * locks // max(1, room // max(1, int(facts.setting("max_locks_per_transaction", 64)))))
    message = (
        f"A statement that touches all {plural(len(facts.chunks), 'chunk')} with their "
        f"{plural(len(facts.chunk_indexes), 'index', 'indexes')} "
        f"takes {locks:,} locks; the server has room for {room:,} in all "
        f"(max_locks_per_transaction = {facts.setting('max_locks_per_transaction', 64):.0f})."
    )
    remedy = f"ALTER SYSTEM SET max_locks_per_transaction = {needed}; and restart the server; or fewer, wider chunks."
    yield critical(message, remedy) if locks > room else warning(message, remedy)
