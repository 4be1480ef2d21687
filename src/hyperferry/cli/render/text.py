"""Lines of text for people."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from hyperferry.db.connection import without_password
from hyperferry.errors import HyperferryError
from hyperferry.words import visible


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


def text_of(message: str) -> Text:
    """A message for rich, without control characters and passwords."""
    return Text(visible(without_password(message)))


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
