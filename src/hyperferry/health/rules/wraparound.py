"""Transaction ids that grow old."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import HealthFacts, HealthFinding, Relation
from ..needs import too_old
from ..words import critical, maintain, plural, short, warning, worst

HARD = 2**31 - 3_000_000
"""xidStopLimit: 3 million before the ids are used up (PostgreSQL 14 and later, SetTransactionIdLimit in varsup.c)."""


def _age(relation: Relation) -> int:
    return max(relation.xid_age, relation.mxid_age)


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Transaction ids that grow old."""
    failsafe = facts.setting("vacuum_failsafe_age", 1_600_000_000)
    multi_failsafe = facts.setting("vacuum_multixact_failsafe_age", 1_600_000_000)
    old = [each for each in facts.relations if too_old(facts, each)]
    if not old:
        return
    oldest = max(each.xid_age for each in old)
    multi = max(each.mxid_age for each in old)
    left = HARD - max(oldest, multi)
    say = critical if oldest > failsafe or multi > multi_failsafe else warning
    held = f" This keeps anything younger from being frozen: {facts.holder}." if facts.holder else ""
    yield say(
        f"Older than autovacuum_freeze_max_age allows, {plural(len(old), 'table')}: "
        f"{worst(old, _age, lambda r: f'{short(r)} {_age(r):,} transactions')}. After {left:,} "
        f"more the server takes no more writes.{held}",
        f"VACUUM (FREEZE) {max(old, key=_age).name.quoted}; and so on"
        + ("; first end what holds it" if held else ""),
        maintain(facts, "vacuum"),
    )
