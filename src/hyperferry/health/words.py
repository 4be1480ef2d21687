"""What the rules say it with."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ..model.health import Chunk, HealthFacts, HealthFinding, Relation, Severity

T = TypeVar("T")


def critical(message: str, remedy: str, command: str | None = None) -> HealthFinding:
    """A finding that needs somebody now. The registry puts the rule's name in."""
    return HealthFinding("", Severity.CRITICAL, message, remedy, command)


def warning(message: str, remedy: str, command: str | None = None) -> HealthFinding:
    """A finding that needs somebody soon."""
    return HealthFinding("", Severity.WARNING, message, remedy, command)


def note(message: str, remedy: str, command: str | None = None) -> HealthFinding:
    """A finding for when it is convenient."""
    return HealthFinding("", Severity.NOTE, message, remedy, command)


def maintain(facts: HealthFacts, kind: str) -> str:
    """The command line that does this kind of maintenance where it is needed."""
    return f"hyperferry maintain {shlex.quote(str(facts.table))} --only {kind}"


def sql_text(text: str) -> str:
    """A string as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def regclass(facts: HealthFacts) -> str:
    """The table as an argument of TimescaleDB's functions."""
    return sql_text(facts.table.quoted)


def worst(items: Iterable[T], key: Callable[[T], float], say: Callable[[T], str], most: int = 5) -> str:
    """The worst few in words, and how many more there are."""
    ordered = sorted(items, key=key, reverse=True)
    rest = len(ordered) - most
    return ", ".join(say(each) for each in ordered[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def ranges(chunks: Sequence[Chunk]) -> str:
    """From where to where these chunks reach."""
    return f"{chunks[0].start_text} to {chunks[-1].end_text}" if chunks else ""


def size(count: float) -> str:
    """Bytes for people, in powers of 1,000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def percent(share: float) -> str:
    """0.314 -> '31 %'."""
    return f"{share * 100:.0f} %"


def ago(facts: HealthFacts, moment: float | None) -> str:
    """'3 days ago', 'never'."""
    return "never" if moment is None else f"{lasting(max(0.0, facts.now - moment))} ago"


def lasting(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, name in ((365.25 * 86400, "year"), (86400.0, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}s"
    return f"{seconds:,.0f} seconds"


def plural(number: int, noun: str, plural_noun: str | None = None) -> str:
    """'1 chunk', '3 chunks'."""
    return f"{number:,} {noun if number == 1 else plural_noun or noun + 's'}"


def short(relation: Relation) -> str:
    """A chunk's name without its schema, which is the same for all."""
    return relation.name.name
