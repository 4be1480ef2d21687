"""Figures and ratios."""

from __future__ import annotations

import pytest
from made_results import pair, result

from bench.result import Curve, Figure, Ratio, from_json, missed_by, ratios_of


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # The middle ours is 6 and the middle theirs 10, but no round says 0.6.
    [ratio] = pair((2.0, 9.0, 6.0), (10.0, 10.0, 20.0)).ratios
    assert ratio.values == (0.2, 0.9, 0.3)
    assert ratio.median == 0.3
    assert ratio.missed_by == 0


def test_a_ratio_is_made_of_figures_of_one_case_thing_and_unit() -> None:
    figures = [
        Figure("a", "us", "s", (1.0,), "p50"),
        Figure("a", "us", "rows/s", (9.0,), "p50"),
        Figure("a", "us", "s", (3.0,), "p99"),
        Figure("a", "they", "s", (2.0,), "p50"),
        Figure("a", "they", "s", (4.0,), "p99"),
        Figure("b", "they", "s", (4.0,), "p50"),
    ]
    assert [(r.case, r.what, r.values) for r in ratios_of(figures, "us", "they")] == [("a", "p50", (0.5,)), ("a", "p99", (0.75,))]


def test_a_ratio_needs_equally_many_rounds_of_both() -> None:
    assert ratios_of([Figure("a", "us", "s", (1.0, 1.0)), Figure("a", "they", "s", (1.0,))], "us", "they") == []


@pytest.mark.parametrize(
    ("value", "better", "share"),
    [(1.2, "less", 0.0), (1.5, "less", 0.25), (40_000.0, "more", 0.2), (60_000.0, "more", 0.0)],
)
def test_by_how_much_an_aim_is_missed(value: float, better: str, share: float) -> None:
    aim = 1.2 if better == "less" else 50_000.0
    assert missed_by(value, aim, better) == pytest.approx(share)  # type: ignore[arg-type]
    assert missed_by(value, None, "less") is None


def test_a_result_is_read_back_as_it_was_with_a_line_for_each_figure() -> None:
    made = result(
        Figure("a", "us", "MB", (60.25, 61.5), "memory", "less", 100.0),
        Figure("a", "us", "", (2.0,), "most attempts"),
        ratios=(Ratio("a", "us", "they", (0.5, 0.25), 0.4, "p99", "more"),),
        curves=(Curve("a", "backlog", "changes", ((0.5, 10.0), (1.0, 0.0))),),
        missing=("b: no room",),
    )
    text = made.to_json()
    assert from_json(text) == made
    assert len(text.splitlines()) < 21
