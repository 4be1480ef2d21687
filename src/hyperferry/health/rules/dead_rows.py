"""Many dead rows among the living."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...model.health import HealthFacts, HealthFinding, Relation
from ..needs import many_dead
from ..words import ago, maintain, note, percent, plural, short, warning, worst

WARN = 100_000


def _said(facts: HealthFacts) -> Callable[[Relation], str]:
    return lambda r: f"{short(r)} {r.dead:,} ({percent(r.dead / (r.live + r.dead))}), vacuumed {ago(facts, r.vacuumed)}"


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Many dead rows among the living."""
    bad = [each for each in facts.relations if many_dead(each)]
    if not bad:
        return
    dead = sum(each.dead for each in bad)
    held = f" They cannot be removed while this is open: {facts.holder}." if facts.holder else ""
    say = warning if dead >= WARN else note
    yield say(
        f"{dead:,} dead rows in {plural(len(bad), 'table')}: "
        f"{worst(bad, lambda r: r.dead, _said(facts))}."
        + held,
        f"VACUUM {max(bad, key=lambda r: r.dead).name.quoted}; and so on"
        + ("; end that transaction, or drop that slot, first" if held else ""),
        maintain(facts, "vacuum"),
    )
