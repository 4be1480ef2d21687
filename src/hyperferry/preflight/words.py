"""What the rules say it with."""

from __future__ import annotations

from collections.abc import Iterable

from ..model.finding import Finding, Level
from ..model.plan import Strategy

BLUE_GREEN = (Strategy.BLUE_GREEN.value,)
IN_PLACE = (Strategy.IN_PLACE.value,)


def blocker(message: str, remedy: str, *, accept: str | None = None, only: tuple[str, ...] = ()) -> Finding:
    """A finding that refuses the rollout. The registry puts the rule's name in."""
    return Finding("", Level.BLOCKER, message, remedy, accept, only)


def warning(message: str, remedy: str, *, accept: str | None = None, only: tuple[str, ...] = ()) -> Finding:
    """A finding that changes something for somebody."""
    return Finding("", Level.WARNING, message, remedy, accept, only)


def note(message: str, remedy: str, *, only: tuple[str, ...] = ()) -> Finding:
    """A finding that informs."""
    return Finding("", Level.NOTE, message, remedy, None, only)


def listed(names: Iterable[object], most: int = 10) -> str:
    """Names with commas, the first `most` of them."""
    texts = [str(name) for name in names]
    rest = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {rest} more" if rest > 0 else "")


def size(count: float) -> str:
    """Bytes for people, in powers of 1,000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def rows(count: int) -> str:
    """'1 row', '1,234 rows'."""
    return f"{count:,} row" + ("" if count == 1 else "s")
