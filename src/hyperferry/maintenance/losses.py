"""What continuous aggregates lose when chunks of their hypertable are dropped: facts in, losses out. Pure.

`drop_chunks` logs the dropped time as changed. A refresh that reaches it computes its buckets anew, from no rows, and so deletes
what was kept of them; and rows that no refresh has come to yet are in no bucket, and never will be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..health.words import listed as named
from ..health.words import plural, sql_text
from ..model.health import Aggregate, Chunk, Reach
from ..model.names import TableName
from ..upkeep.aggregate_facts import Span

KEPT, UNSEEN, ALL = "aggregate-rows", "waiting-rows", "all"
"""What `--accept` takes."""


@dataclass(frozen=True)
class Loss:
    """What one aggregate loses, by which rule, and what would keep it from that."""

    rule: str
    aggregate: TableName
    message: str
    remedy: str


def losses(
    chunks: Sequence[Chunk], aggregates: Sequence[Aggregate], waits: Mapping[int, Sequence[Span]]
) -> Iterator[Loss]:
    """What these aggregates lose by the dropping of the chunks: buckets that they keep, where a policy refreshes the time of a
    chunk (later runs begin later), and rows that wait for a refresh (`waits`, by the aggregate's number)."""
    filled = [chunk for chunk in chunks if not chunk.empty]
    if not filled:
        return
    end = max(chunk.end for chunk in filled)
    for each in aggregates:
        far = [reach for reach in each.reaches if reach.start is None or reach.start < end]
        if far:
            yield Loss(
                KEPT,
                each.name,
                "; ".join(map(_told, far)) + ": its next run deletes the buckets of what is dropped",
                "have that begin behind what is dropped, by another start_offset: SELECT alter_job(job_id, config => config || "
                f"jsonb_build_object('start_offset', '...')) FROM timescaledb_information.jobs WHERE job_id = {far[0].job};",
            )
        unseen = [chunk for chunk in filled if _overlap(chunk, waits.get(each.number, ()))]
        if unseen:
            yield Loss(
                UNSEEN,
                each.name,
                f"{plural(len(unseen), 'chunk')} with rows that wait for a refresh: "
                f"{named([chunk.relation.name.name for chunk in unseen])}; they will never be part of it",
                "refresh it first, from a bucket's beginning to a bucket's end: CALL refresh_continuous_aggregate("
                f"{sql_text(each.name.quoted)}, {sql_text(unseen[0].start_text)}, {sql_text(unseen[-1].end_text)});",
            )


def remedy_of(found: Sequence[Loss]) -> str:
    """What to do about all of them."""
    rules = dict.fromkeys(each.rule for each in found)
    accept = " ".join(f"--accept {rule}" for rule in rules)
    return f"{' '.join(dict.fromkeys(each.remedy for each in found))} Or drop the chunks all the same, for good: {accept}"


def _told(reach: Reach) -> str:
    if reach.offset is None:
        return f"job {reach.job} refreshes it from the first row on"
    unknown = "" if reach.start is not None else " (from where on that is now, is not known)"
    return f"job {reach.job} refreshes it from {reach.offset} before the present on{unknown}"


def _overlap(chunk: Chunk, spans: Sequence[Span]) -> bool:
    return any(span.first < chunk.end and span.last >= chunk.start for span in spans)
