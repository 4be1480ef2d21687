"""Continuous aggregates that are not as far as their policy would have them, or have none."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import MICROSECONDS, Aggregate, HealthFacts, HealthFinding
from ..lag import lag_of
from ..words import critical, lasting, note, sql_text, warning

FAR = 24
"""So many schedules behind is critical."""


def _from(facts: HealthFacts, aggregate: Aggregate) -> str:
    """Where a refresh by hand begins, as SQL."""
    if aggregate.watermark is None:
        return "NULL"
    return str(aggregate.watermark) if facts.integer_time else sql_text(aggregate.watermark_text)


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Continuous aggregates that are not as far as their policy would have them, or have none."""
    for each in facts.aggregates:
        if each.job is None:
            yield note(
                f"{each.name} has no refresh policy: it is materialized up to {each.watermark_text}, its source has rows up to "
                f"{each.newest_text}.",
                f"SELECT add_continuous_aggregate_policy({sql_text(each.name.quoted)}, start_offset => ..., end_offset => ..., "
                "schedule_interval => ...); or refresh it yourself: CALL refresh_continuous_aggregate(...);",
            )
            continue
        lag = lag_of(facts, each)
        if lag is None:
            continue
        reads = "queries get old figures"
        if not each.materialized_only:
            reads = "queries compute the rest from the source, slower and slower"
        far = f"{lag:,}" if facts.integer_time else lasting(lag / MICROSECONDS)
        say = critical if not facts.integer_time and lag > FAR * (each.job.schedule + 3600) * MICROSECONDS else warning
        yield say(
            f"{each.name} is {far} behind what its policy asks for: materialized up to {each.watermark_text}, its source has "
            "rows up to "
            f"{each.newest_text}, job {each.job.id} is to refresh it every {lasting(each.job.schedule)}; {reads}.",
            f"see whether the job runs and how long it takes (hyperferry health names failed and late ones); by hand: "
            f"CALL refresh_continuous_aggregate({sql_text(each.name.quoted)}, {_from(facts, each)}, NULL);",
        )
