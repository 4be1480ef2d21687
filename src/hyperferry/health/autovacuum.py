"""When autovacuum would come to a table by itself. Source: "The Autovacuum Daemon" in PostgreSQL's documentation: the
threshold is `autovacuum_vacuum_threshold + autovacuum_vacuum_scale_factor * reltuples`, at most
`autovacuum_vacuum_max_threshold` (PostgreSQL 18), and likewise for ANALYZE; a table's own storage parameters win over the
settings."""

from __future__ import annotations

from ..model.health import HealthFacts, Relation

FREEZE_MAX_AGE = 200_000_000
FREEZE_MAX_AGE_MULTIXACT = 400_000_000


def _value(facts: HealthFacts, relation: Relation, name: str, default: float) -> float:
    own = relation.option(name)
    return float(own) if own is not None else facts.setting(name, default)


def enabled(facts: HealthFacts, relation: Relation) -> bool:
    """Whether autovacuum looks after the table, wraparound apart."""
    own = relation.option("autovacuum_enabled")
    switched = own is None or own.lower() in ("true", "on", "yes", "1", "t", "y")
    return switched and facts.settings.get("autovacuum", "on") == "on" and facts.settings.get("track_counts", "on") == "on"


def vacuum_threshold(facts: HealthFacts, relation: Relation) -> float:
    """Dead rows above which autovacuum comes."""
    threshold = _value(facts, relation, "autovacuum_vacuum_threshold", 50) + _value(
        facts, relation, "autovacuum_vacuum_scale_factor", 0.2
    ) * max(relation.rows, 0)
    most = _value(facts, relation, "autovacuum_vacuum_max_threshold", -1)
    return min(threshold, most) if most >= 0 else threshold


def analyze_threshold(facts: HealthFacts, relation: Relation) -> float:
    """Changed rows above which autovacuum analyzes."""
    return _value(facts, relation, "autovacuum_analyze_threshold", 50) + _value(
        facts, relation, "autovacuum_analyze_scale_factor", 0.1
    ) * max(relation.rows, 0)


def freeze_max_age(facts: HealthFacts, relation: Relation) -> float:
    """The age in transactions at which autovacuum comes against wraparound. A table's own value can only be lower."""
    setting = facts.setting("autovacuum_freeze_max_age", FREEZE_MAX_AGE)
    own = relation.option("autovacuum_freeze_max_age")
    return setting if own is None else min(float(own), setting)


def multixact_freeze_max_age(facts: HealthFacts, relation: Relation) -> float:
    """The same for multixacts."""
    setting = facts.setting("autovacuum_multixact_freeze_max_age", FREEZE_MAX_AGE_MULTIXACT)
    own = relation.option("autovacuum_multixact_freeze_max_age")
    return setting if own is None else min(float(own), setting)
