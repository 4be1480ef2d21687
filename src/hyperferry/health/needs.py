"""What a single table needs, and why: the conditions that findings and maintenance share, so that what is done for a finding
ends it."""

from __future__ import annotations

from ..model.health import HealthFacts, Relation
from .autovacuum import analyze_threshold, enabled, freeze_max_age, multixact_freeze_max_age, vacuum_threshold

DEAD_LEAST = 1_000
DEAD_SHARE = 0.2
TIMES = 2
"""So many times the threshold of autovacuum is more than it lets gather as a rule."""
ROUNDS = 10
PATIENCE = 600.0
"""Autovacuum has so many of its rounds, and so many seconds, to come."""
CHANGED_LEAST = 1_000
OVER = 1.2
"""Autovacuum comes at autovacuum_freeze_max_age; a table that is so much older it does not get to."""


def patience(facts: HealthFacts) -> float:
    """Seconds after which autovacuum should have come."""
    return max(PATIENCE, ROUNDS * facts.setting("autovacuum_naptime", 60))


def many_dead(relation: Relation) -> bool:
    """A large part of it is dead."""
    return relation.dead >= DEAD_LEAST and relation.dead >= DEAD_SHARE * (relation.live + relation.dead)


def left_by_autovacuum(facts: HealthFacts, relation: Relation) -> bool:
    """Autovacuum looks after it, should have come and has not."""
    return (
        enabled(facts, relation)
        and relation.dead >= DEAD_LEAST
        and relation.dead > TIMES * vacuum_threshold(facts, relation)
        and facts.now - (relation.vacuumed or 0.0) > patience(facts)
    )


def too_old(facts: HealthFacts, relation: Relation) -> bool:
    """Its transaction ids or multixacts are older than autovacuum lets them become."""
    return relation.xid_age > OVER * freeze_max_age(facts, relation) or relation.mxid_age > OVER * multixact_freeze_max_age(
        facts, relation
    )


def never_analyzed(relation: Relation) -> bool:
    """It has rows, and nothing is known of them."""
    return relation.analyzed is None and not relation.widths and max(relation.live, relation.rows) >= CHANGED_LEAST


def much_changed(facts: HealthFacts, relation: Relation) -> bool:
    """Much of it changed since it was analyzed."""
    return relation.modified >= CHANGED_LEAST and relation.modified > TIMES * analyze_threshold(facts, relation)
