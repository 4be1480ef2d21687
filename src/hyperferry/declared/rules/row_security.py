"""Compression of a table with row security, which TimescaleDB refuses."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.difference import Refusal
from ..outcome import Case
from . import refusal


def check(case: Case) -> Iterator[Refusal]:
    """Compression of a table with row security, which TimescaleDB refuses."""
    wish = case.declared.compression
    if wish is not None and wish.enabled and case.state.row_security and not case.state.compression.enabled:
        yield refusal(
            "compression",
            f"{case.state.name} has row security: TimescaleDB compresses no such table.",
            "take [compression] out of the file, or put row security on a view of the table instead.",
        )
