"""docs/breaks.md, written from the catalogue."""

from __future__ import annotations

from . import catalogue
from .model import COMMUNITY, ROOT, Break

FILE = ROOT / "docs" / "breaks.md"

TORTURE_SEEDS = (3, 4, 6, 7, 9)
"""Those that `make test` runs (tests/torture/test_torture_seeds.py)."""

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
    "C": "Beside the invariants: compression on the way, and old chunks that are dropped",
}

HEAD = """\
# What each invariant is worth: {count} breaks and what finds them
Tests that pass say little until one has seen them fail. So each clause of the ten invariants is taken out of the program once, on
purpose, in a copy of the sources, and the test named here has to fail by it: by its assertion, or by the very error that the application or the
user would get, never by a fault of the edit. The same test has to pass without it. Where two places of the program cover each other, both are taken out at once.

<!-- parse -->
```sh
make breaks                          # all of them, one after the other
make breaks ARGS="I3 -j 2"           # one invariant's, two at once
make breaks ARGS="log-removed-by-range --show"
```

Breaks of compression (marked †) need a server with the Community edition; where none is listed in `servers.toml` each is printed as not tried.

`make test` tries that every break still fits the sources, and runs one of each invariant (marked *). The breaks are in
[tests/breaks](../tests/breaks/README.md); this page is written from there (`make breaks ARGS=--page`).

{torture}"""

TORTURE = """\
The [torture harness](torture.md) knows nothing of invariants: it looks at rows. {tried} of the breaks were given to its fixed seeds
({seeds}), which found {found}, of {invariants}; the first seed that did stands with the break, as it was drawn then. {missed}
(`make breaks ARGS="log-removed-by-range --torture"` tries one.)
"""


def _file(one: Break) -> str:
    path, _, name = one.test.partition("::")
    case = f" [{one.case}]" if one.case else ""
    seed = f"; torture, seed {one.torture}" if one.torture else ""
    return f"[{name}](../tests/{path}){case}{seed}"


def _torture() -> str:
    tried = [one for one in catalogue.BREAKS if one.torture is not None]
    found = [one for one in tried if one.torture]
    missed = ", ".join(one.name for one in tried if not one.torture)
    return TORTURE.format(
        tried=len(tried),
        seeds=", ".join(str(seed) for seed in TORTURE_SEEDS),
        found=len(found),
        invariants=", ".join(sorted({catalogue.invariant_of(one) for one in found})),
        missed=f"They pass with {missed}." if missed else "",
    )


def text() -> str:
    """The page."""
    parts = [HEAD.format(count=len(catalogue.BREAKS), torture=_torture())]
    for invariant, breaks in catalogue.CATALOGUE.items():
        parts.append(f"\n## {invariant}: {TITLES[invariant]}\n| break | clause | found by | why it matters |\n|---|---|---|---|\n")
        for one in breaks:
            mark = ("*" if one.quick else "") + ("†" if one.release == COMMUNITY else "")
            parts.append(f"| {one.name}{mark} | {one.clause} | {_file(one)} | {one.why} |\n")
    return "".join(parts)
