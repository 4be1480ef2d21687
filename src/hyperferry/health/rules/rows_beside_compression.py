"""Compressed chunks with rows that came later and lie beside, uncompressed."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.health import Chunk, HealthFacts, HealthFinding
from ..words import note, plural, short, size, sql_text, warning, worst

LEAST = 50_000
MANY = 10


def _beside(chunk: Chunk) -> int:
    """Bytes of the chunk's own table."""
    return chunk.relation.heap_bytes + chunk.relation.toast_bytes


def check(facts: HealthFacts) -> Iterator[HealthFinding]:
    """Compressed chunks with rows that came later and lie beside, uncompressed."""
    beside = [chunk for chunk in facts.chunks if chunk.compressed and chunk.partial and _beside(chunk) >= LEAST]
    if not beside:
        return
    say = warning if len(beside) > MANY else note
    chunk = sql_text(beside[0].relation.name.quoted)
    by_hand = f"SELECT compress_chunk({chunk});"
    yield say(
        f"Rows came into {plural(len(beside), 'compressed chunk')} and lie beside what is compressed: "
        f"{worst(beside, _beside, lambda c: f'{short(c.relation)} ({size(_beside(c))})')}. They take the room of plain rows, and "
        "queries read both.",
        f"the compression policy takes them in at its next run; by hand, chunk by chunk: {by_hand}  (before 2.14: CALL "
        "recompress_chunk(...))",
    )
