"""What a break is, and how it is put into a copy of the sources."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"

RELEASE_IDS = {"stable": "pg17", "testing": "pg18"}

COMMUNITY = "community"
"""A release for breaks whose test needs the Community edition. It is run on each listed server that has it, with all its cases."""


@dataclass(frozen=True)
class Edit:
    """In `file` (below src/hyperferry) `old`, which must stand there exactly once, becomes `new`."""

    file: str
    old: str
    new: str

    def apply(self, package: Path) -> None:
        """Edits the copy. Raises ValueError where the old text is not there once, SyntaxError where the new one is no Python."""
        path = package / self.file
        text = path.read_text("utf-8")
        if (found := text.count(self.old)) != 1:
            raise ValueError(f"{self.file}: the old text stands there {found} times, not once: {self.old!r}")
        text = text.replace(self.old, self.new)
        if path.suffix == ".py":
            compile(text, self.file, "exec")
        path.write_text(text, "utf-8")


@dataclass(frozen=True)
class Break:
    """One clause taken out.

    `test`: the test that finds it, below tests/, without the server's parameter; `case`: a parameter of its own, with {} for the server's where that is not the first. `fails_by`: the
    kinds of error by which the test may fail; a break that only ends the program by a fault of the edit's own proves nothing.
    `quick`: run in every `make test`. `torture`: the first of the harness's fixed seeds that finds it too, 0 where all of them
    pass, None where that was not tried.
    """

    name: str
    clause: str
    edits: tuple[Edit, ...]
    test: str
    why: str
    case: str = ""
    release: str = "stable"
    fails_by: tuple[str, ...] = ("AssertionError", "Failed")
    quick: bool = False
    torture: int | None = None

    @property
    def node(self) -> str:
        """The pytest node id, from the root of the repository."""
        case = self.case if "{}" in self.case or not self.case else "{}-" + self.case
        suffix = f"[{case.format(RELEASE_IDS[self.release])}]" if case else ""
        return f"tests/{self.test}{suffix}"

    def put_into(self, folder: Path) -> Path:
        """A copy of src in `folder`, broken; returns what belongs on PYTHONPATH."""
        source = folder / "src"
        # Times are kept, so that what is compiled already need not be compiled again.
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("*.egg-info"))
        for edit in self.edits:
            edit.apply(source / "hyperferry")
        return source
