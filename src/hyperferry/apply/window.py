"""What is read of the log at once: several slices' worth of ids, in the order of the time.

A backlog's changes lie anywhere, and each chunk that a slice touches costs a statement: five slices that each touch every chunk
cost five times as much as five that share the chunks among them. Only ids and bounds are kept from one transaction to the next,
and neither can become wrong, as log rows never change: each slice reads its pairs at its own snapshot, and finds no pair where
somebody else removed it meanwhile. The ids go back to the server as the text in which they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Bounds = tuple[str, str]
"""The least and greatest time of a group of pairs, as text: literals let TimescaleDB exclude chunks when it plans."""


@dataclass(frozen=True)
class Ids:
    """Ids of log rows: `text` as an array of the server's, `{1,2,3}`."""

    text: str
    size: int

    @classmethod
    def of(cls, numbers: Iterable[int | str]) -> Ids:
        """From numbers, or their texts."""
        texts = [str(number) for number in numbers]
        return cls(f"{{{','.join(texts)}}}", len(texts))

    @property
    def texts(self) -> list[str]:
        """Each id as text."""
        return self.text[1:-1].split(",") if self.size else []

    def halves(self) -> tuple[Ids, Ids]:
        """The first half and the rest."""
        texts = self.texts
        return Ids.of(texts[: self.size // 2]), Ids.of(texts[self.size // 2 :])


@dataclass(frozen=True)
class Group:
    """Pairs within the width of a chunk; without bounds: pairs whose time is NULL."""

    bounds: Bounds | None
    ids: Ids


@dataclass(frozen=True)
class Slice:
    """What one transaction applies."""

    groups: tuple[Group, ...]

    @property
    def ids(self) -> Ids:
        """Those of all groups."""
        inner = ",".join(group.ids.text[1:-1] for group in self.groups)
        return Ids(f"{{{inner}}}", sum(group.ids.size for group in self.groups))


def pack(groups: Iterable[Group], rows: int) -> list[Slice]:
    """The groups, in their order, in slices of `rows` ids (the last may be smaller); a group that does not fit is continued in
    the next slice, under the same bounds."""
    slices: list[Slice] = []
    open_: list[Group] = []
    room = rows
    for group in groups:
        texts = group.ids.texts
        while texts:
            part, texts = texts[:room], texts[room:]
            open_.append(Group(group.bounds, Ids.of(part)))
            room -= len(part)
            if not room:
                slices.append(Slice(tuple(open_)))
                open_, room = [], rows
    if open_:
        slices.append(Slice(tuple(open_)))
    return slices
