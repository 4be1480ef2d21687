"""The figures behind the findings, as a program reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..model.health import HealthFacts
from .bloated import bloated_indexes, bloated_tables
from .growth import growth, locks_of_all


def figures(facts: HealthFacts) -> dict[str, Any]:
    """Numbers of chunks, bytes, rows, jobs: stable names, bytes and seconds as their units."""
    relations = facts.relations
    done = [chunk for chunk in facts.chunks if chunk.compressed]
    before = sum(chunk.before_bytes or 0 for chunk in done)
    after = sum(chunk.after_bytes or 0 for chunk in done)
    grown = growth(facts)
    locks, room = locks_of_all(facts)
    return {
        "timescaledb": facts.timescaledb,
        "edition": facts.edition,
        "owner": facts.owner,
        "at": datetime.fromtimestamp(facts.now, UTC).isoformat(timespec="seconds"),
        "chunks": len(facts.chunks),
        "chunks_compressed": len(done),
        "chunks_empty": sum(1 for chunk in facts.chunks if chunk.empty),
        "first": facts.chunks[0].start_text if facts.chunks else None,
        "last": facts.chunks[-1].end_text if facts.chunks else None,
        "chunk_interval": facts.interval if facts.integer_time else facts.interval / 1_000_000,
        "chunks_a_year_expected": None if grown is None else round(grown.expected),
        "chunks_a_year_measured": None if grown is None else round(grown.measured),
        "chunks_in_a_year": None if grown is None else grown.in_a_year,
        "locks_of_all_chunks": locks,
        "lock_table_room": room,
        "bytes": sum(each.total_bytes for each in relations),
        "table_bytes": sum(each.heap_bytes for each in relations),
        "index_bytes": sum(each.index_bytes for each in relations),
        "toast_bytes": sum(each.toast_bytes for each in relations),
        "sizes_measured": sum(1 for each in relations if each.measured),
        "bytes_before_compression": before or None,
        "bytes_after_compression": after or None,
        "compression_ratio": round(before / after, 2) if before and after else None,
        "rows": round(sum(chunk.relation.estimated_rows for chunk in facts.chunks)),
        "dead_rows": sum(each.dead for each in relations),
        "table_bloat_bytes": sum(bloat.wasted for _, bloat in bloated_tables(facts)),
        "index_bloat_bytes": sum(bloat.wasted for _, bloat in bloated_indexes(facts)),
        "bloat_measured": facts.exact is not None,
        "oldest_transaction_id_age": max((each.xid_age for each in relations), default=0),
        "oldest_multixact_age": max((each.mxid_age for each in relations), default=0),
        "jobs": len(facts.jobs),
        "jobs_failed": sum(1 for job in facts.jobs if job.status == "Failed"),
        "aggregates": {
            str(each.name): {"materialized_to": each.watermark_text, "source_to": each.newest_text or None}
            for each in facts.aggregates
        },
        "rollout": None if facts.rollout is None else facts.rollout.phase,
        "hidden": list(facts.hidden),
    }
