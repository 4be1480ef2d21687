"""The documentation as data: its sections, its links, its commands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(part for name in ("src", "examples") for part in (ROOT / name).rglob("README.md")),
    ]
)

_BLOCK = re.compile(r"^(?:<!-- (?P<mark>\w+) -->\n)?```(?P<language>\w*)\n(?P<body>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: `mark` is `run` (it is run on a server by a test), `parse` (its commands are read only) or None."""

    mark: str | None
    language: str
    body: str

    @property
    def commands(self) -> list[str]:
        """The lines that call hyperferry."""
        return [line for line in self.body.splitlines() if line.startswith("hyperferry ")]


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    return [Block(m["mark"], m["language"], m["body"]) for m in _BLOCK.finditer(page.read_text("utf-8"))]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
