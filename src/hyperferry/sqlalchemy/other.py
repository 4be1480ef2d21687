"""Which side a read goes to, and whether that side is fresh enough. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Other:
    """The other side of a table whose rollout is at a point where it can be read."""

    number: int
    phase: str
    schema: str
    name: str

    @property
    def when(self) -> bool:
        """What the flag has to say for reads to go there: on before the cutover, off after it."""
        return self.phase != "cut_over"


@dataclass(frozen=True)
class Asked:
    """What the database said of a table's rollout."""

    number: int
    phase: str
    name: str
    oldest: int | None
    """The oldest change that the other side lacks."""
    newest: int | None
    """The newest that was made, or is being made."""
    quarantined: bool
    allowed: bool
    """The application's role may read the other side."""
    row_security: bool
    columns: bool = True
    """The other side has each column of the table, with its type."""


@dataclass(frozen=True)
class Seen:
    """One look at the log: changes up to `newest` were made by then."""

    at: float
    newest: int | None


def other_of(asked: Asked | None) -> Other | None:
    """The other side where it can be read: it is complete but for changes under way, and holds nothing back."""
    if asked is None or asked.quarantined or asked.row_security or not (asked.allowed and asked.columns):
        return None
    if asked.phase in ("synced", "rolled_back"):
        return Other(asked.number, asked.phase, f"hyperferry_new_{asked.number}", asked.name)
    if asked.phase == "cut_over":
        return Other(asked.number, asked.phase, f"hyperferry_old_{asked.number}", asked.name)
    return None


def fresh_as_of(looks: Sequence[Seen], now: Seen, oldest: int | None) -> float | None:
    """The latest moment up to which the other side is known to have every change; None where it is not known.

    `looks` are earlier ones, oldest first, `oldest` is what `now` found still to be applied; None: nothing.
    """
    if oldest is None:
        return now.at
    for look in reversed(looks):
        if look.newest is None or look.newest < oldest:
            return look.at
    return None
