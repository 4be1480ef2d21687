"""What `advise` says: recommendations, each with its reason, its numbers and its lines for `hyperferry.toml`, and warnings."""

from __future__ import annotations

from dataclasses import dataclass

from .axis import Axis

__all__ = ["Advice", "Bar", "Caution", "Recommendation"]


@dataclass(frozen=True)
class Recommendation:
    """One thing to do, or (`toml` and `action` empty) one that was looked at and is not recommended, with the reason.

    `numbers` are names with values, for programs. `toml` are lines of `hyperferry.toml`; `action` is what to do by hand (SQL, or
    a setting) where the file has no word for it. `unavailable`: why this edition cannot do it, and what can be done instead.
    """

    rule: str  # as the file of the rule, with hyphens
    title: str
    reason: tuple[str, ...]
    numbers: tuple[tuple[str, object], ...] = ()
    toml: str = ""
    action: str = ""
    unavailable: str | None = None


@dataclass(frozen=True)
class Caution:
    """Something that is probably wrong: what, and what to do."""

    rule: str
    message: str
    remedy: str


@dataclass(frozen=True)
class Bar:
    """A bar of the histogram: from a place on, so many rows and bytes (estimated)."""

    start: float
    rows: float
    bytes: float


@dataclass(frozen=True)
class Advice:
    """All of it. `facts` are names and values in words; `bars` are of `bar_width`, gaps with 0 rows included."""

    table: str
    time_column: str
    axis: Axis
    facts: tuple[tuple[str, str], ...]
    recommendations: tuple[Recommendation, ...]
    cautions: tuple[Caution, ...]
    bar_width: float
    bars: tuple[Bar, ...]
    read: tuple[str, ...]
    toml: str
