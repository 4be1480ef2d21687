"""Indexes of the hypertable that some of its chunks lack."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import Chunk, HealthFacts, HealthFinding, IndexFacts
from ..matching import by_key
from ..words import listed, plural, short, warning


def _on(index: IndexFacts, chunk: Chunk, facts: HealthFacts) -> str:
    unique = "UNIQUE " if index.unique else ""
    using = index.definition.partition(" USING ")[2]
    return f"CREATE {unique}INDEX CONCURRENTLY ON {chunk.relation.name.quoted} USING {using}"


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Indexes of the hypertable that some of its chunks lack."""
    chunks = by_key(facts)
    for index in facts.indexes:
        if not index.valid:
            continue
        have = {each.table_oid for each in chunks.get(index.key, ())}
        lack = [chunk for chunk in facts.chunks if chunk.relation.oid not in have]
        if lack and len(lack) < len(facts.chunks):
            unique = " What it is to keep unique is not checked there." if index.unique else ""
            yield warning(
                f"The index {index.name} is missing on {plural(len(lack), 'chunk')}: "
                f"{listed([short(chunk.relation) for chunk in lack])}.{unique}",
                "as a superuser (the owner of the table may not create anything in the chunks' schema), for each: "
                f"{_on(index, lack[0], facts)}; or build the index anew on the hypertable.",
            )
