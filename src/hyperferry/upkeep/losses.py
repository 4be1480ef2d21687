"""What continuous aggregates lose when chunks of their hypertable are dropped: facts in, losses out. Pure.

`drop_chunks` logs the dropped time as changed. A refresh that reaches it computes its buckets anew, from no rows, and so deletes
what was kept of them; and rows that no refresh has come to yet are in no bucket, and never will be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..health.words import listed as named
from ..health.words import plural, sql_text
from ..model.health import Aggregate, Chunk, Reach
from ..model.names import TableName
from ..model.upkeep import Loss
from .aggregate_facts import Span

KEPT, UNSEEN, ALL = "aggregate-rows", "waiting-rows", "all"
"""What `--accept` takes."""


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
        waiting = [chunk for chunk in filled if _overlap(chunk, waits.get(each.number, ()))]
        if waiting:
            yield unseen(
                each.name,
                [chunk.relation.name for chunk in waiting],
                waiting[0].start_text,
                waiting[-1].end_text,
            )


def unseen(aggregate: TableName, chunks: Sequence[TableName], start: str, end: str) -> Loss:
    """The loss of an aggregate to which these chunks, from `start` to `end`, have rows that wait for a refresh."""
    return Loss(
        UNSEEN,
        aggregate,
        f"{plural(len(chunks), 'chunk')} with rows that wait for a refresh: "
        f"{named([chunk.name for chunk in chunks])}; they will never be part of it",
        "refresh it first, from a bucket's beginning to a bucket's end (where other rows of that time were dropped before, what "
        "is kept is then made of the rest alone): CALL refresh_continuous_aggregate("
        f"{sql_text(aggregate.quoted)}, {sql_text(start)}, {sql_text(end)});",
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
