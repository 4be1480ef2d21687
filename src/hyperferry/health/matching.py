"""Which of the chunks' indexes belong to which of the hypertable's. TimescaleDB kept a catalog of this up to 2.21; since then it
compares what they are made of, and so do we, on every version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..model.health import HealthFacts, IndexFacts


def by_key(facts: HealthFacts) -> Mapping[str, Sequence[IndexFacts]]:
    """The chunks' indexes by what they are made of; those on the tables of compressed rows left out."""
    plain = {chunk.relation.oid for chunk in facts.chunks}
    found: dict[str, list[IndexFacts]] = defaultdict(list)
    for index in facts.chunk_indexes:
        if index.table_oid in plain:
            found[index.key].append(index)
    return found


def pages_of(indexes: Sequence[IndexFacts]) -> int:
    """Pages of all of them."""
    return sum(index.pages for index in indexes)
