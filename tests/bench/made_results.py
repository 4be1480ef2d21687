"""Results made up for tests."""

from __future__ import annotations

from bench.result import Curve, Figure, Ratio, Result, ratios_of

MACHINE: dict[str, object] = {"cores": 2, "processor": "one", "system": "Linux"}


def result(
    *figures: Figure,
    ratios: tuple[Ratio, ...] = (),
    at: str = "2026-01-01T00:00:00Z",
    name: str = "conversion",
    machine: dict[str, object] = MACHINE,
    curves: tuple[Curve, ...] = (),
    missing: tuple[str, ...] = (),
) -> Result:
    return Result(name, "abc", at, machine, {"PG": {"fsync": "on"}}, figures, ratios, curves, missing)


def pair(ours: tuple[float, ...], theirs: tuple[float, ...], *, case: str = "1 row", at: str = "2026-01-01T00:00:00Z") -> Result:
    """Ours over theirs, with an aim of 0.65."""
    figures = (Figure(case, "hyperferry", "s", ours), Figure(case, "migrate_data", "s", theirs))
    return result(*figures, ratios=tuple(ratios_of(figures, "hyperferry", "migrate_data", 0.65)), at=at)
