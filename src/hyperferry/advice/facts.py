"""What was found of the table, as names and sentences."""

from __future__ import annotations

from collections.abc import Iterator

from ..model.names import quoted_if_needed
from ..words import count, size
from .case import Case
from .spreads import busiest, by_interval, bytes_per_row, gaps, last_year, rows_per_year, used

EVEN = 3.0
"""Where the fullest interval has more than so many times the average, the rows come in bursts."""
_NAMING = frozenset(
    f"pg_catalog.{name}" for name in ("int2", "int4", "int8", "text", "varchar", "bpchar", "uuid")
)
"""Types of columns that name somebody or something, a tenant among them."""
TENANT = 0.2
"""A column whose most common value has more of the rows than this is called skewed."""


def facts(case: Case) -> Iterator[tuple[str, str]]:
    """Rows and bytes, span, density, gaps, skew, late rows, late updates, memory."""
    d, spread = case.d, case.d.spread
    table = d.inspection.table
    about = "" if spread is not None and spread.exact else "about "
    yield (
        "rows",
        f"{about}{count(round(d.rows))}, {size(table.total_bytes)} ({size(table.index_bytes)} of it in "
        f"{len(d.inspection.indexes)} indexes), {bytes_per_row(d):,.0f} bytes a row",
    )
    if spread is not None:
        yield "time", f"{d.axis.place_words(spread.low)} to {d.axis.place_words(spread.high)}{_unit(case)}"
        yearly = rows_per_year(d, spread)
        if yearly is not None:
            yield (
                "pace",
                f"{count(round(yearly))} rows and {size(yearly * bytes_per_row(d))} in the last year of data",
            )
        yield from _density(case)
    if d.hypertable:
        compressed = sum(chunk.compressed for chunk in d.chunks)
        yield (
            "chunks",
            f"{count(len(d.chunks))} of {d.axis.width_words(d.interval or 0)}, {count(compressed)} of them compressed",
        )
    named = {each.name for each in d.inspection.columns if each.base_type in _NAMING or each.type_kind == "e"}
    others = [each for each in d.columns if each.name in named and each.name != case.time.name]
    skewed = [each for each in others if each.top_share is not None and TENANT <= each.top_share < 1]
    for each in sorted(skewed, key=lambda column: -(column.top_share or 0))[:5]:
        values = "" if each.distinct is None else f" of about {count(round(each.distinct))} values"
        name = quoted_if_needed(each.name)
        yield (
            "skew",
            f"one{values} of {name} has {each.top_share:.0%} of the rows (by {_source(each.source)})",
        )
    if case.late is not None:
        yield "late rows", case.late.words + _order(case)
    else:
        yield (
            "late rows",
            "not known: no column that says when a row came, and the order on disk says little after many updates",
        )
    yield "late updates", case.updates.words if case.updates is not None else _unknown(case)
    if d.writes is not None:
        since = "since it was made" if d.writes.since is None else f"since {d.writes.since[:16]}"
        yield (
            "writes",
            f"{count(d.writes.inserted)} inserted, {count(d.writes.updated)} updated, {count(d.writes.deleted)} deleted "
            f"{since}, as the "
            "server counted",
        )
    server = d.inspection.server
    yield (
        "memory",
        f"shared_buffers {size(server.shared_buffers_bytes)}, effective_cache_size "
        f"{size(d.memory.effective_cache_size)}, work_mem "
        f"{size(d.memory.work_mem)}, maintenance_work_mem {size(d.memory.maintenance_work_mem)}",
    )
    seen: dict[str, int] = {}
    for shape in case.shapes:
        source = shape.use.source.split()[0]
        seen[source] = seen.get(source, 0) + 1
    said = ", ".join(f"{number} of {source}" for source, number in seen.items()) or "none"
    yield "statements", said + (f"; {d.statements_missing}" if d.statements_missing else "")


def _unit(case: Case) -> str:
    axis = case.d.axis
    if not axis.integer:
        return ""
    return f" ({axis.unit} since 1970)" if axis.per_second else " (its unit cannot be told)"


def _density(case: Case) -> Iterator[tuple[str, str]]:
    d, spread = case.d, case.d.spread
    if spread is None or case.width is None:
        return
    filled = by_interval(spread, case.width.place)
    mean = sum(filled.values()) / used(spread, case.width.place)
    most = busiest(spread, case.width.place, last_year(d, spread))
    words = case.width.words
    shape = "in bursts" if mean and most > EVEN * mean else "evenly"
    yield (
        "density",
        f"{count(round(mean))} rows ({size(mean * bytes_per_row(d))}) for each {words} that has any, {count(round(most))} "
        f"({size(most * bytes_per_row(d))}) in the busiest of the last year: {shape}",
    )
    empty = gaps(spread, case.width.place)
    if empty:
        total = sum(end - start for start, end in empty)
        start, end = empty[0]
        yield (
            "gaps",
            f"{len(empty)} stretches without a row, {d.axis.width_words(total)} in all; the longest from "
            f"{d.axis.place_words(start)} to "
            f"{d.axis.place_words(end)}",
        )


def _source(source: str) -> str:
    return "the statistics of ANALYZE" if source == "pg_stats" else "the sample"


def _order(case: Case) -> str:
    if case.d.arrival is None and case.d.disorder is not None:
        return " (that is the order of arrival only while nothing is updated or deleted; --arrived names a column that knows)"
    return ""


def _unknown(case: Case) -> str:
    writes = case.d.writes
    changed = 0 if writes is None else writes.updated + writes.deleted
    touched = (
        f"{count(changed)} updates and deletes were counted, but not at what age"
        if changed
        else "nothing was counted"
    )
    return f"not known: no column that says when a row was changed (--updated), no rollout with a change log; {touched}"
