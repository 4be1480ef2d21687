"""One statement's SQL, for either side of the rollout. Pure.

SQLAlchemy renders the schemas of the routed tables as marks that nothing else can look like (schema_translate_map). What is left
is to put each mark's schema back, but for the routed table, which gets the other side's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_WRITES = re.compile(
    r'(?<![."\w])(?:insert\s+into|delete\s+from|merge\s+into|update(?![\w"])|for\s+(?:no\s+key\s+|key\s+)?(?:update|share)|into)(?!\w)',
    re.IGNORECASE,
)
"""What no statement has that only reads. Too careful where a string or a column looks so: then the table itself is read."""

_CALL = re.compile(r"([\w.]+|\"[^\"]*\")\(")
_HARMLESS = frozenset(
    word
    for line in (
        "count sum avg min max stddev variance string_agg array_agg json_agg jsonb_agg bool_and bool_or first last",
        "percentile_cont percentile_disc row_number rank dense_rank lag lead first_value last_value time_bucket",
        "coalesce nullif greatest least lower upper length abs round floor ceil trunc now date_trunc date_part extract to_char",
        "cast any all numeric varchar char timestamp time interval bit",
    )
    for word in line.split()
)
"""Functions that write nothing, and types and words that are written as functions are."""

_TABLE = r'("(?:[^"]|"")*"|[^\W\d][\w$]*)'


@dataclass(frozen=True)
class Place:
    """A routed table as the dialect writes it: its mark, its name."""

    mark: str
    name: str


@dataclass(frozen=True)
class Sides:
    """A statement for the table of record, and how it reads for the other side."""

    record: str
    reads: frozenset[Place]
    """The routed tables in it; none where it writes or locks."""
    pieces: tuple[str | Place, ...]
    plain: Mapping[Place, str]
    calls: bool
    """It calls functions that may write, for all that is known here."""

    def other(self, where: Mapping[Place, str]) -> str:
        """For the other side of the tables in `where`, each with its whole name there; the others stay."""
        names = {**self.plain, **where}
        return "".join(piece if isinstance(piece, str) else names[piece] for piece in self.pieces)


def sides_of(statement: str, prefixes: Mapping[str, str], places: frozenset[Place]) -> Sides:
    """`prefixes`: for each mark the schema as it would have been rendered, with its dot ('' for none)."""
    marks = "|".join(map(re.escape, sorted(prefixes)))
    pieces: list[str | Place] = []
    plain = {place: prefixes[place.mark] + place.name for place in places}
    end = 0
    for found in re.finditer(rf"(?<![\w\"])({marks})\.{_TABLE}", statement):
        pieces.append(statement[end : found.start()])
        place = Place(found[1], found[2])
        pieces.append(place if place in places else prefixes[found[1]] + found[2])
        end = found.end()
    pieces.append(statement[end:])
    record = "".join(piece if isinstance(piece, str) else plain[piece] for piece in pieces)
    reads = frozenset(piece for piece in pieces if isinstance(piece, Place))
    if _WRITES.search(statement):
        reads = frozenset()
    calls = any(call.rpartition(".")[2].lower() not in _HARMLESS for call in _CALL.findall(statement))
    return Sides(record, reads, tuple(pieces), plain, calls)


class Known:
    """The statements seen lately, taken apart once."""

    def __init__(self, take_apart: Callable[[str], Sides], most: int = 1000) -> None:
        self._take_apart, self._most = take_apart, most
        self._known: dict[str, Sides] = {}

    def __call__(self, statement: str) -> Sides:
        """Its sides."""
        found = self._known.get(statement)
        if found is None:
            if len(self._known) >= self._most:
                self._known = {}
            found = self._known[statement] = self._take_apart(statement)
        return found
