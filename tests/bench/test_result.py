"""What the benchmark says of its figures."""

from __future__ import annotations

from pathlib import Path

from bench.page import render
from bench.result import Figure, Result, from_json, keep, last_kept, ratios_of, worse


def result(*, ours: tuple[float, ...], theirs: tuple[float, ...], at: str = "2026-01-01T00:00:00Z") -> Result:
    figures = (
        Figure("1 row", "hyperferry", "s", ours),
        Figure("1 row", "migrate_data", "s", theirs),
        Figure("2 rows", "hyperferry", "s", ours),
    )
    ratios = tuple(ratios_of(figures, "hyperferry", "migrate_data", 0.65))
    return Result("conversion", "abc", at, {"cores": 2}, {"PG": {"fsync": "on"}}, figures, ratios)


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # The middle ours is 6 and the middle theirs 10, but no round says 0.6.
    [ratio] = result(ours=(2.0, 9.0, 6.0), theirs=(10.0, 10.0, 20.0)).ratios
    assert ratio.values == (0.2, 0.9, 0.3)
    assert ratio.median == 0.3
    assert ratio.met is True


def test_a_missed_aim_is_a_missed_aim() -> None:
    [ratio] = result(ours=(7.0,), theirs=(10.0,)).ratios
    assert ratio.met is False


def test_worse_is_what_grew_by_more_than_the_spread() -> None:
    before = result(ours=(5.0, 5.0), theirs=(10.0, 10.0))
    within = result(ours=(5.0, 6.0), theirs=(10.0, 10.0))
    beyond = result(ours=(7.0, 7.5), theirs=(10.0, 10.0))
    assert worse(within, before) == []
    [line] = worse(beyond, before)
    assert "0.50 -> 0.72" in line


def test_kept_results_are_read_back_newest_last_and_shown(tmp_path: Path) -> None:
    keep(result(ours=(5.0,), theirs=(10.0,)), tmp_path)
    newest = result(ours=(6.0,), theirs=(10.0,), at="2026-02-01T00:00:00Z")
    assert from_json(keep(newest, tmp_path).read_text("utf-8")) == newest
    assert last_kept("conversion", tmp_path) == newest
    page = render(tmp_path)
    assert "2026-02-01T00:00:00Z" in page
    assert "2026-01-01T00:00:00Z" not in page
    assert "<svg" in page
