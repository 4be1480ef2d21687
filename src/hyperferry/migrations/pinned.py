"""The SQL that a project's revisions come to, kept in a file and compared. Pure: it depends on no server."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

HEADER = "-- The SQL of this project's migrations, by `hyperferry check-migrations --pin`. Not to be edited by hand."
_MARK = re.compile(r"^-- revision (?P<id>\S+)(?:: .*)?$", re.M)
_MOST_LINES = 60


@dataclass(frozen=True)
class Difference:
    """One revision whose SQL is not what was kept. `lines` are a unified diff, cut where it is long."""

    revision: str
    what: str
    lines: tuple[str, ...] = ()


def text_of(scripts: Sequence[tuple[str, str, str]]) -> str:
    """The file: revision, message, script, in the order in which they run."""
    parts = [HEADER, ""]
    for revision, message, script in scripts:
        first = message.strip().splitlines()[0] if message.strip() else ""
        parts += [f"-- revision {revision}{f': {first}' if first else ''}", *tidy(script), ""]
    return "\n".join(parts)


def tidy(script: str) -> list[str]:
    """The script's lines, without what says nothing: blanks at their ends, empty lines."""
    return [line.rstrip() for line in script.splitlines() if line.strip()]


def kept(text: str) -> dict[str, list[str]]:
    """What a file holds, by revision."""
    marks = list(_MARK.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)] * bool(marks)
    return {mark["id"]: tidy(text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)}


def compare(expected: str, scripts: Sequence[tuple[str, str, str]]) -> list[Difference]:
    """The revisions that differ from what was kept, those that are new, and those that are gone."""
    before = kept(expected)
    found: list[Difference] = []
    for revision, _, script in scripts:
        now = tidy(script)
        if revision not in before:
            found.append(Difference(revision, "is not in it"))
        elif before[revision] != now:
            lines = difflib.unified_diff(before[revision], now, "kept", "now", lineterm="", n=2)
            found.append(Difference(revision, "comes to other SQL", _cut(list(lines))))
    there = {revision for revision, _, _ in scripts}
    found += [
        Difference(each, "is in it, and no revision of the project") for each in before if each not in there
    ]
    return found


def _cut(lines: list[str]) -> tuple[str, ...]:
    more = len(lines) - _MOST_LINES
    return (*lines[:_MOST_LINES], f"... and {more} lines more") if more > 0 else tuple(lines)
