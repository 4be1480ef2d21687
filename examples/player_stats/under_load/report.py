"""What came of it: failures and latency of each stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .clients import Sample


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed; of at least one, in order."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def latency(samples: Sequence[Sample]) -> dict[str, float] | None:
    """Milliseconds: p50, p95, p99 and the longest; None of none."""
    ordered = sorted(sample.ms for sample in samples)
    if not ordered:
        return None
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "longest": 1.0}
    return {name: round(quantile(ordered, share), 1) for name, share in shares.items()}


def stages(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Each stage in its order."""
    of: dict[str, list[Sample]] = {}
    for sample in samples:
        of.setdefault(sample.stage, []).append(sample)
    return [
        {
            "stage": name,
            "requests": len(each),
            "failed": sum(sample.failure is not None for sample in each),
            "reads": latency([sample for sample in each if sample.kind == "read"]),
            "writes": latency([sample for sample in each if sample.kind == "write"]),
        }
        for name, each in of.items()
    ]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The stages as a table."""
    head = f"{'':<22}{'requests':>9}{'failed':>8}   {'reads: p50':>10}{'p95':>8}{'p99':>8}{'longest':>9}"
    lines = [f"{head}   {'writes: p50':>11}{'p95':>8}{'p99':>8}{'longest':>9}"]
    for row in rows:
        reads, writes = (_numbers(row[kind], first) for kind, first in (("reads", 10), ("writes", 11)))
        lines.append(f"{row['stage']:<22}{row['requests']:>9}{row['failed']:>8}   {reads}   {writes}")
    return "\n".join([*lines, "Milliseconds from the moment at which a request was due."])


def _numbers(found: dict[str, float] | None, first: int) -> str:
    widths = {"p50": first, "p95": 8, "p99": 8, "longest": 9}
    return "".join(f"{'-' if found is None else found[name]:>{width}}" for name, width in widths.items())
