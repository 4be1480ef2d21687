"""What can be told from a continuous aggregate's query as PostgreSQL prints it."""

from __future__ import annotations

import re

from ..model.declared import Span
from .spans import parse_span

_BUCKET = re.compile(
    r"\btime_bucket\s*\(\s*(?:'([^']+)'(?:\s*::\s*[a-z ]+)?|(\d+)(?:\s*::\s*[a-z ]+)?)\s*,", re.IGNORECASE
)


def bucket_of(printed: str) -> Span | None:
    """The width of its bucket; None where that is not a constant."""
    match = _BUCKET.search(printed)
    if match is None:
        return None
    try:
        return parse_span(match[2] or match[1])
    except ValueError:
        return None
