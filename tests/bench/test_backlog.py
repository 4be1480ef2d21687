"""A backlog that does not become empty is not waited for without end, and is told."""

from __future__ import annotations

import subprocess

import pytest

from bench.backlog import Refilled, evaluate
from bench.contenders import ferry
from bench.place import Place


def test_a_rate_at_which_it_is_not_emptied_is_missing() -> None:
    points = ((0.0, 100.0), (120.0, 5000.0))
    found = evaluate(
        "PG",
        {500: [Refilled(2.0, 499.0, points), Refilled(3.0, 501.0, points)], 5000: [Refilled(9.0, 4000.0, points), Refilled(None, 4100.0, points)]},
        120.0,
    )
    assert [(f.who, f.values) for f in found.figures if f.what == "until empty"] == [("500 writes/s", (2.0, 3.0))]
    assert [(f.who, f.values) for f in found.figures if f.what == "achieved"] == [
        ("500 writes/s", (499.0, 501.0)),
        ("5,000 writes/s", (4000.0, 4100.0)),
    ]
    assert found.missing == ("PG: under 5,000 writes/s not empty after 120 s, 5,000 changes left",)
    assert [curve.who for curve in found.curves] == ["500 writes/s", "5,000 writes/s"]


def test_the_program_is_given_so_long(place: Place) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        ferry(place, "status", seconds=0.01)
