"""Words and numbers for people."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from rich.text import Text

from hyperferry.db.connection import without_password
from hyperferry.errors import HyperferryError

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Line:
    """A line of text, indented as a whole where it is wrapped, with a `mark` before it in its own style."""

    text: str
    indent: int = 0
    style: str = ""
    mark: str = ""
    mark_style: str = "bold"

    def rich(self, before: str = "") -> Text:
        """The line for rich, with `before` in front."""
        line = Text(before)
        if self.mark:
            line.append(visible(self.mark), style=self.mark_style)
            line.append(" ")
        line.append(visible(self.text), style=self.style)
        return line


def visible(text: str) -> str:
    """The text with control characters written out: a table's name must not steer a terminal."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def text_of(message: str) -> Text:
    """A message for rich, without control characters and passwords."""
    return Text(visible(without_password(message)))


def count(number: int) -> str:
    """1234567 -> '1,234,567'."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """3, 'row' -> '3 rows'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: '0.04 s', '12 s', '3 min 20 s', '2 h 5 min', '3 d 4 h'."""
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    if seconds < 10:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 172_800:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def size(number: float) -> str:
    """Bytes as a person says them: '376 MB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1024:
            return f"{number:,.0f} {unit}"
        number /= 1024
    return f"{number:,.1f} TB"


def milliseconds(number: float) -> str:
    """Milliseconds with as many digits as mean something."""
    return f"{number:.1f} ms" if number < 100 else f"{number:,.0f} ms"


def facts_lines(error: HyperferryError) -> list[Line]:
    """What happened, a fact a line, what to do next."""
    lines = [Line(without_password(error.message), mark="Error:", mark_style="bold red")]
    for name, value in error.facts.items():
        shown = (
            ", ".join(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else str(value)
        )
        lines.append(Line(without_password(shown), indent=2, mark=f"{name}:", mark_style="dim"))
    if error.remedy:
        lines.append(Line(without_password(error.remedy), mark="What to do:"))
    return lines
