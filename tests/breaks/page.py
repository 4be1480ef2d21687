"""docs/breaks.md, written from the catalogue."""

from __future__ import annotations

from . import catalogue
from .model import ROOT, Break

FILE = ROOT / "docs" / "breaks.md"

TITLES = {
    "I0": "Lock, then look; and we yield",
    "I1": "Capture has no gap",
    "I2": "A copy is a committed state",
    "I3": "A change is applied by state, pair by pair",
    "I4": "A pair is applied only when no batch can still land it",
    "I5": "Nothing is cut over unproved",
    "I6": "The cutover is one transaction, and short",
    "I7": "The way back loses nothing",
    "I8": "Verification is exact while writers run",
    "I9": "The application is told beforehand what changes for it",
}

HEAD = """\
# What each invariant is worth: {count} breaks and what finds them
Tests that pass say little until one has seen them fail. So each clause of the ten invariants is taken out of the program once, on
purpose, in a copy of the sources, and the test named here has to fail by it: by an assertion about the database, not by a fault of the edit. The
same test has to pass without it.

```sh
make breaks                          # all of them, one after the other
make breaks ARGS="I3 -j 2"           # one invariant's, two at once
make breaks ARGS="log-removed-by-range --show"
```

`make test` tries that every break still fits the sources, and runs one of each invariant (marked *). The breaks are in
[tests/breaks](../tests/breaks/README.md); this page is written from there (`make breaks ARGS=--page`).
"""


def _file(one: Break) -> str:
    path, _, name = one.test.partition("::")
    case = f" [{one.case}]" if one.case else ""
    return f"[{name}](../tests/{path}){case}"


def text() -> str:
    """The page."""
    parts = [HEAD.format(count=len(catalogue.BREAKS))]
    for invariant, breaks in catalogue.CATALOGUE.items():
        parts.append(f"\n## {invariant}: {TITLES[invariant]}\n| break | clause | found by | why it matters |\n|---|---|---|---|\n")
        for one in breaks:
            mark = "*" if one.quick else ""
            parts.append(f"| {one.name}{mark} | {one.clause} | {_file(one)} | {one.why} |\n")
    return "".join(parts)
