"""What the writers did, in words and as figures for the report."""

from __future__ import annotations

from hyperferry.words import count, duration, milliseconds, plural

from .fleet import Work


def worked(work: Work) -> str:
    """Rate, errors and the longest operation."""
    return (
        f"writers: {count(round(work.per_second))} statements/s over {duration(work.seconds)}, "
        f"{plural(work.errors, 'error')}, the longest operation took "
        f"{milliseconds(work.worst_ms)}{first_error(work)}"
    )


def first_error(work: Work) -> str:
    """What the first error said, in brackets; nothing where there was none."""
    return f" (the first: {work.error_texts[0]})" if work.error_texts else ""


def figures(work: Work) -> dict[str, float]:
    """For the report."""
    return {
        "statements_per_second": work.per_second,
        "writes": work.writes,
        "errors": work.errors,
        "worst_ms": work.worst_ms,
    }
