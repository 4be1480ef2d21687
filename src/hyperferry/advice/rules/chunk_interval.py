"""Chunk interval: the indexes of the chunks being written fit in a quarter of the memory, and chunks stay few enough."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.advice import Recommendation
from ...words import count, size
from ..case import Case
from ..spreads import bytes_per_row, per_year
from ..width import busiest_bytes, memory_bytes

PLANNING_MS = 0.12
"""Planning a chunk, in a query that no condition on the time spares it: measured, 1,000 chunks with 2 to 4 indexes, PostgreSQL 17
with 2.19.3 and 18 with 2.31.0: 83 to 140 ms of CPU."""
AT_ONCE = 10
"""So many sessions are to be able to run such a query at once."""


def check(case: Case) -> Iterator[Recommendation]:
    """The interval, the number of chunks now and in a year, and what they cost in planning and locks."""
    d, width = case.d, case.width
    if width is None:
        yield Recommendation(
            "chunk-interval",
            "Chunk interval: not known",
            (
                f"the values of {case.time_sql} do not tell their unit: they are not seconds, milliseconds, microseconds or "
                "nanoseconds since 1970, between 1990 and 2100",
            ),
            action="give a number in the column's own unit: chunk_interval in hyperferry.toml, or --chunk-interval of `plan`",
        )
        return
    now = case.chunks
    more = None if d.spread is None else per_year(d, d.spread, width.place)
    later = None if more is None else round(now + more)
    indexes = len(d.inspection.indexes)
    lines = list(width.reason)
    numbers: list[tuple[str, object]] = [
        ("interval", width.words),
        ("microseconds", width.microseconds),
        ("width", width.place),
        ("chunks_now", now),
        ("chunks_in_a_year", later),
        ("rows_per_chunk", round(case.rows_per_chunk)),
        ("memory_quarter_bytes", round(memory_bytes(d))),
    ]
    if d.spread is not None:
        peak = busiest_bytes(d, d.spread, width.place)
        numbers.append(("busiest_index_bytes", round(peak)))
        lines.append(
            f"{count(now)} chunks {'now' if d.hypertable and width.kept else 'of the rows there are'}, about "
            f"{count(round(case.rows_per_chunk))} rows and {size(case.rows_per_chunk * bytes_per_row(d))} in each"
            + ("" if later is None else f"; {count(later)} in a year, at the pace of the last one")
        )
    if d.memory.effective_cache_size > d.inspection.server.shared_buffers_bytes:
        lines.append(
            f"the memory counted is shared_buffers ({size(d.inspection.server.shared_buffers_bytes)}); with "
            "effective_cache_size "
            f"({size(d.memory.effective_cache_size)}) for it a quarter were {size(d.memory.effective_cache_size / 4)}"
        )
    chunks = later or now
    locks = 1 + indexes + chunks * (1 + indexes)
    slots = d.inspection.server.max_locks_per_transaction * (
        d.inspection.server.max_connections + d.inspection.server.max_prepared_transactions
    )
    lines.append(
        f"a query without a condition on {case.time_sql} plans all {count(chunks)} chunks"
        f"{'' if later is None else ' (in a year)'}: about {PLANNING_MS * chunks:,.0f} ms of planning, and "
        f"{count(locks)} locks of the "
        f"{count(slots)} that the server has room for ({1 + indexes} for each chunk: itself and {indexes} indexes)"
    )
    numbers += [("planning_ms", round(PLANNING_MS * chunks, 1)), ("locks", locks), ("lock_slots", slots)]
    yield Recommendation(
        "chunk-interval",
        f"Chunk interval: {width.words}",
        tuple(lines),
        tuple(numbers),
        toml=f"chunk_interval = {width.toml}",
    )
    if AT_ONCE * locks > slots:
        sessions = d.inspection.server.max_connections + d.inspection.server.max_prepared_transactions
        wanted = -(-AT_ONCE * locks // sessions // 64) * 64
        yield Recommendation(
            "max-locks",
            f"max_locks_per_transaction: {wanted}",
            (
                f"{AT_ONCE} sessions at once with a query over all chunks need {count(AT_ONCE * locks)} locks, and the "
                "server has room "
                f"for {count(slots)} (max_locks_per_transaction {d.inspection.server.max_locks_per_transaction} × "
                f"{sessions} connections and prepared transactions)",
            ),
            (("wanted", wanted), ("needed", AT_ONCE * locks), ("lock_slots", slots)),
            action=f"ALTER SYSTEM SET max_locks_per_transaction = {wanted}; then restart the server",
        )
