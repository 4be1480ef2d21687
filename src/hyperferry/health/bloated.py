"""Which tables and indexes are bloated, by an estimate or, where it was asked for, by measure."""

from __future__ import annotations

from ..model.health import HealthFacts, IndexFacts, Relation
from .bloat import Bloat, index_bloat, table_bloat

SHARE = 0.3
"""From this part on a table counts as bloated; an estimate is a tenth off."""
INDEX_SHARE = 0.5
"""From this part on a B-tree does. One whose entries came in descending order (the default index on the time), or mixed, is half
full by nature: pages are split in the middle unless at the right end."""
WORTH = 1_000_000
"""Bytes below which it is not worth a word."""


def bloated_tables(facts: HealthFacts) -> list[tuple[Relation, Bloat]]:
    """Chunks (not what compressed rows are kept in, whose values tell nothing of their widths) with their bloat."""
    measured = {each.oid: Bloat(each.bytes, each.wasted) for each in facts.exact or ()}
    found = []
    for chunk in facts.chunks:
        relation = chunk.relation
        if facts.exact is not None:
            bloat = measured.get(relation.oid)
        else:
            bloat = None if chunk.compressed else table_bloat(relation, facts.columns, facts.block_size)
        if bloat is not None and bloat.share >= SHARE and bloat.wasted >= WORTH:
            found.append((relation, bloat))
    return found


def bloated_indexes(facts: HealthFacts) -> list[tuple[IndexFacts, Bloat]]:
    """Indexes of chunks with their bloat."""
    measured = {each.oid: Bloat(each.bytes, each.wasted) for each in facts.exact or ()}
    widths = {chunk.relation.oid: chunk.relation.widths for chunk in facts.chunks if not chunk.compressed}
    found = []
    for index in facts.chunk_indexes:
        if not index.valid:
            continue
        if facts.exact is not None:
            bloat = measured.get(index.oid)
        else:
            bloat = index_bloat(index, facts.columns, widths.get(index.table_oid, ()), facts.block_size)
        if bloat is not None and bloat.share >= INDEX_SHARE and bloat.wasted >= WORTH:
            found.append((index, bloat))
    return found
