"""What to do to which chunk, and why: facts and wishes in, tasks out. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ..health.bloat import Bloat
from ..health.bloated import bloated_indexes
from ..health.needs import left_by_autovacuum, many_dead, much_changed, never_analyzed, too_old
from ..health.words import ago, percent, size
from ..model.health import HealthFacts, IndexFacts, Relation
from .options import Kind, Task

LEFT_BY_REINDEX = re.compile(r"_cc(new|old)\d*$")


def tasks(
    facts: HealthFacts,
    kinds: frozenset[Kind],
    *,
    everything: bool = False,
    older: int | None = None,
    newer: int | None = None,
) -> tuple[Task, ...]:
    """The tasks of these kinds (none: all) for the chunks that end at or before `older` and begin at or after `newer`.

    By chunk in the order of time, within a chunk as `Kind` has them: indexes before VACUUM, which then passes over less, and
    ANALYZE last. With `everything` those that were not done for longest come first, so that short windows get round to all.
    """
    chosen = kinds or frozenset(Kind)
    chunks = [
        chunk
        for chunk in facts.chunks
        if (older is None or chunk.end <= older) and (newer is None or chunk.start >= newer)
    ]
    found: list[Task] = []
    bloated = {index.oid: bloat for index, bloat in bloated_indexes(facts)}
    indexes: dict[int, list[IndexFacts]] = defaultdict(list)
    for index in facts.chunk_indexes:
        indexes[index.table_oid].append(index)
    for chunk in chunks:
        for relation in chunk.relations:
            if Kind.REINDEX in chosen:
                found += _reindex(relation, indexes[relation.oid], bloated, everything)
        for relation in chunk.relations:
            if Kind.VACUUM in chosen:
                found += _vacuum(facts, relation, everything)
        # What a compressed chunk's own table has of statistics is from before; TimescaleDB keeps it so.
        if Kind.ANALYZE in chosen and not chunk.compressed:
            found += _analyze(facts, chunk.relation, everything)
    if not everything:
        return tuple(found)
    done = {each.oid: each for each in facts.relations}

    def last(task: Task) -> tuple[float, int]:
        relation = done[task.oid]
        # A rebuilt index has a new OID, so the least is the one that was not for longest.
        when = {Kind.VACUUM: relation.vacuumed, Kind.ANALYZE: relation.analyzed, Kind.REINDEX: 0.0}[task.kind]
        return when or 0.0, task.index_oid or task.oid

    return tuple(sorted(found, key=last))


def _vacuum(facts: HealthFacts, relation: Relation, everything: bool) -> Iterator[Task]:
    if too_old(facts, relation):
        why = f"{max(relation.xid_age, relation.mxid_age):,} transactions old, never frozen since"
        yield Task(Kind.VACUUM, relation.oid, relation.name, why, freeze=True)
    elif many_dead(relation) or left_by_autovacuum(facts, relation):
        share = percent(relation.dead / max(1, relation.live + relation.dead))
        why = f"{relation.dead:,} dead rows ({share}), vacuumed {ago(facts, relation.vacuumed)}"
        yield Task(Kind.VACUUM, relation.oid, relation.name, why)
    elif everything:
        yield Task(Kind.VACUUM, relation.oid, relation.name, f"asked for; vacuumed {ago(facts, relation.vacuumed)}")


def _analyze(facts: HealthFacts, relation: Relation, everything: bool) -> Iterator[Task]:
    if never_analyzed(relation):
        yield Task(Kind.ANALYZE, relation.oid, relation.name, f"{relation.live:,} rows, never analyzed")
    elif much_changed(facts, relation):
        why = f"{relation.modified:,} rows changed, analyzed {ago(facts, relation.analyzed)}"
        yield Task(Kind.ANALYZE, relation.oid, relation.name, why)
    elif everything:
        yield Task(Kind.ANALYZE, relation.oid, relation.name, f"asked for; analyzed {ago(facts, relation.analyzed)}")


def _reindex(
    relation: Relation, indexes: Sequence[IndexFacts], bloated: Mapping[int, Bloat], everything: bool
) -> Iterator[Task]:
    for index in indexes:
        if index.exclusion:
            continue  # PostgreSQL rebuilds those only with everybody shut out
        if not index.valid:
            left = LEFT_BY_REINDEX.search(index.name.name) is not None
            yield _of(index, relation, "invalid, left by an interrupted build", left)
        elif index.oid in bloated:
            bloat = bloated[index.oid]
            yield _of(index, relation, f"{percent(bloat.share)} of {size(bloat.bytes)} hold nothing")
        elif everything:
            yield _of(index, relation, "asked for")


def _of(index: IndexFacts, relation: Relation, why: str, remove: bool = False) -> Task:
    return Task(Kind.REINDEX, relation.oid, relation.name, why, index.name, index.oid, remove=remove)
