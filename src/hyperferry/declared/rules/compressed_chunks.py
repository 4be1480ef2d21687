"""Changes of compression that chunks which are compressed already stand in the way of."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.difference import Refusal
from ..of_compression import settings_differ
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """Changes of compression that chunks which are compressed already stand in the way of."""
    for relation in case.relations:
        key = relation.key("compression")
        off = (relation.compression is not None and not relation.compression.enabled) or key in case.prune
        if not relation.compressed or not relation.state_compression.enabled:
            continue
        function = "convert_to_rowstore" if case.server.columnstore else "decompress_chunk"
        call = f"{'CALL' if case.server.columnstore else 'SELECT'} {case.server.functions}.{function}(chunk)"
        if off:
            yield refusal(
                key,
                f"{relation.compressed:,} of {relation.chunks:,} chunks of {relation.name} are compressed: compression "
                f"cannot be taken off it.",
                "let the policy go first, or it compresses them again (`after = false` in the file, then apply); then decompress "
                f"them one after the other, where the disk has room: {call}.",
            )
        elif not case.server.settings_change and settings_differ(relation):
            yield refusal(
                key,
                f"{relation.compressed:,} of {relation.chunks:,} chunks of {relation.name} are compressed, and TimescaleDB "
                f"{case.server.timescaledb} changes no settings beside them (2.14 and later do).",
                f"decompress them first ({call}), or upgrade TimescaleDB.",
            )
