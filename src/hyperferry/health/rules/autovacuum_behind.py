"""Tables that autovacuum should have been at, and was not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...model.health import HealthFacts, HealthFinding, Relation
from ..autovacuum import vacuum_threshold
from ..needs import TIMES, left_by_autovacuum, patience
from ..words import ago, critical, lasting, maintain, plural, short, warning, worst

MANY = 10


def _said(facts: HealthFacts) -> Callable[[Relation], str]:
    return lambda r: (
        f"{short(r)} {r.dead:,} of {vacuum_threshold(facts, r):,.0f}, autovacuumed {ago(facts, r.autovacuumed)}"
    )


def _settings(facts: HealthFacts) -> str:
    workers = facts.setting("autovacuum_max_workers", 3)
    limit = facts.setting("autovacuum_vacuum_cost_limit", -1)
    limit = facts.setting("vacuum_cost_limit", 200) if limit < 0 else limit
    delay = facts.setting("autovacuum_vacuum_cost_delay", 2)
    busy = "" if facts.autovacuum_workers is None else f", {facts.autovacuum_workers} of them at work now"
    return f"autovacuum_max_workers = {workers:.0f}{busy}; cost limit {limit:.0f}, delay {delay:g} ms, shared by all workers."


def _remedy(facts: HealthFacts) -> str:
    if facts.holder:
        return f"first of all, this keeps dead rows from being removed: {facts.holder}. End it, or drop that slot."
    if facts.autovacuum_workers is not None and facts.autovacuum_workers >= facts.setting("autovacuum_max_workers", 3):
        return (
            "all workers are busy: give each more to spend (ALTER SYSTEM SET autovacuum_vacuum_cost_limit = 2000; SELECT "
            "pg_reload_conf();) before you add more of them."
        )
    return (
        "where they died a moment ago, look again in some minutes; else look for what cancels it (locks on the chunks, in "
        "the server's log) and what it is busy with (pg_stat_progress_vacuum); "
        "ALTER SYSTEM SET autovacuum_vacuum_cost_limit = 2000; SELECT pg_reload_conf(); lets it work faster."
    )


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Tables that autovacuum should have been at, and was not."""
    behind = [each for each in facts.relations if left_by_autovacuum(facts, each)]
    if not behind:
        return
    say = critical if len(behind) >= MANY and len(behind) > len(facts.relations) / 2 else warning
    yield say(
        f"Autovacuum does not keep up: {plural(len(behind), 'table')} have more than {TIMES} times the dead rows at which it "
        "comes, and none "
        f"for {lasting(patience(facts))} or longer: "
        f"{worst(behind, lambda r: r.dead, _said(facts))}. "
        + _settings(facts),
        _remedy(facts),
        maintain(facts, "vacuum"),
    )
