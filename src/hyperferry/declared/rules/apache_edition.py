"""Compression, policies and continuous aggregates on the Apache edition, which has none of them."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.declared import Retention, Span
from ...model.difference import Refusal
from ..outcome import Case
from ..statements import span_literal
from . import refusal

_OTHERWISE = "or install the Community edition (timescaledb.license = 'timescale')"


def check(case: Case) -> Iterator[Refusal]:
    """Compression, policies and continuous aggregates on the Apache edition, which has none of them."""
    if case.server.community:
        return
    declared = case.declared
    edition = f"TimescaleDB {case.server.timescaledb} runs as the Apache edition here, which has no"
    if declared.compression is not None and declared.compression.enabled:
        yield refusal(
            "compression",
            f"{edition} compression.",
            f"take [compression] out of the file, {_OTHERWISE}. What can be done instead: older chunks on a file system "
            f"that compresses, "
            "by a tablespace.",
        )
    if isinstance(declared.retention, Retention):
        yield refusal(
            "retention-policy",
            f"{edition} retention policies; drop_chunks() itself works.",
            f"take [retention] out of the file and run this by cron instead: "
            f"{_drop_chunks(case, declared.retention.after)}; {_OTHERWISE}.",
        )
    if declared.reorder:
        yield refusal(
            "reorder-policy",
            f"{edition} reorder policies.",
            f"take [reorder] out of the file and run CLUSTER on closed chunks at quiet hours (it blocks the chunk), "
            f"{_OTHERWISE}.",
        )
    for aggregate in declared.aggregates:
        yield refusal(
            f"aggregate:{aggregate.name}",
            f"{edition} continuous aggregates ({aggregate.name}).",
            f"take it out of the file; instead of it make a table or a materialized view of that query, and refresh it by "
            f"cron; {_OTHERWISE}.",
        )


def _drop_chunks(case: Case, after: Span) -> str:
    age = span_literal(after).as_string(None)
    if case.state.integer_time:
        age = (
            f"{case.state.now_function or 'NOW'}() - {age}"
            if case.state.now_function
            else f"<now in the column's unit> - {age}"
        )
    return f"SELECT {case.server.functions}.drop_chunks('{case.state.name.quoted}', older_than => {age})"
