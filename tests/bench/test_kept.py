"""Kept results: which count, and what became worse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_results import MACHINE, pair, result

from bench import place
from bench.kept import keep, newest, number, read, rounds, verdict, worse
from bench.result import Figure, Ratio


def test_worse_is_what_grew_by_more_than_the_spread() -> None:
    before = pair((5.0, 5.0), (10.0, 10.0))
    assert worse(pair((5.0, 6.0), (10.0, 10.0)), [before]) == []
    [line] = worse(pair((6.0, 6.1), (10.0, 10.0)), [before])
    assert "0.50 -> 0.60" in line
    assert "missed" not in line


def test_noise_of_the_kept_run_counts_too() -> None:
    assert worse(pair((6.0,), (10.0,)), [pair((4.0, 6.0), (10.0, 10.0))]) == []


def test_an_aim_that_was_met_and_is_missed_is_told_whatever_the_spread() -> None:
    [line] = worse(pair((5.0, 9.0), (10.0, 10.0)), [pair((6.0,), (10.0,))])
    assert "aim 0.65 missed" in line


def test_one_round_alone_tells_of_no_spread() -> None:
    before = pair((5.0, 5.0), (10.0, 10.0))
    [line] = worse(pair((6.0,), (10.0,)), [before])
    assert line.startswith("perhaps worse than abc: hyperferry over migrate_data, 1 row: 0.50 -> 0.60, spread unknown (one round)")
    assert worse(pair((5.0,), (10.0,)), [before]) == []
    [line] = worse(pair((7.0,), (10.0,)), [before])
    assert line.endswith("spread unknown (one round); aim 0.65 missed")
    [line] = worse(pair((6.0, 6.0), (10.0, 10.0)), [before])
    assert line.startswith("worse than abc")
    assert line.endswith("0.50 -> 0.60, spread 0.00")


def test_more_can_be_better() -> None:
    fast = result(Figure("a", "apply", "changes/s", (60_000.0, 61_000.0), "", "more", 50_000))
    slow = result(Figure("a", "apply", "changes/s", (52_000.0, 52_500.0), "", "more", 50_000))
    assert worse(fast, [slow]) == []
    [line] = worse(slow, [fast])
    assert "60,500 -> 52,250" in line
    throughput = Ratio("a", "copy", "alone", (0.9, 0.91), better="more")
    lower = result(ratios=(replace(throughput, values=(0.5, 0.51)),))
    assert len(worse(lower, [result(ratios=(throughput,))])) == 1
    assert worse(result(ratios=(throughput,)), [lower]) == []


def test_figures_of_another_machine_are_not_compared() -> None:
    fast, slow = (Figure("a", "apply", "changes/s", (value, value), "", "more") for value in (2.0, 1.0))
    assert worse(result(slow, machine={**MACHINE, "processor": "another"}), [result(fast)]) == []
    assert len(worse(result(slow), [result(fast)])) == 1


def test_a_machine_that_does_a_fixed_piece_of_work_otherwise_is_another() -> None:
    """Whatever its description: those that we had differ by half."""
    fast, slow = (Figure("a", "apply", "changes/s", (value, value), "", "more") for value in (2.0, 1.0))
    quick, same, lame = ({**MACHINE, "probe_ms": ms} for ms in (20.0, 21.9, 22.1))
    assert worse(result(slow, machine=lame), [result(fast, machine=quick)]) == []
    assert len(worse(result(slow, machine=same), [result(fast, machine=quick)])) == 1
    assert len(worse(result(slow, machine=lame), [result(fast)])) == 1  # kept before there was a probe
    assert 1 < place.probe() < 10_000


def test_a_single_value_tells_of_no_spread() -> None:
    assert worse(result(Figure("a", "us", "ms", (9.0,), "", "less")), [result(Figure("a", "us", "ms", (1.0,), "", "less"))]) == []


def test_the_last_kept_of_each_case_counts() -> None:
    old = pair((5.0, 5.0), (10.0, 10.0), case="1 row", at="2026-01-01T00:00:00Z")
    other = pair((1.0, 1.0), (10.0, 10.0), case="2 rows", at="2026-01-02T00:00:00Z")
    again = pair((7.0, 7.0), (10.0, 10.0), case="2 rows", at="2026-01-03T00:00:00Z")
    assert [(r.at, r.cases) for r in newest([again, old, other])] == [(old.at, ["1 row"]), (again.at, ["2 rows"])]
    assert worse(pair((7.0, 7.0), (10.0, 10.0), case="2 rows"), [old, other, again]) == []


CASE = "PG 18.6 / TS 2.31.0, 4,000 chunks, 4 writers"


@pytest.mark.parametrize(
    ("line", "settling", "other"),
    [
        (f"{CASE}: no room: none", CASE, f"{CASE}, 500 writes/s"),
        (f"{CASE}: updates: under 5,000 writes/s not empty", f"{CASE}: updates", f"{CASE}: apply"),
        ("PG 18.6 / TS 2.31.0: no room", CASE, CASE.replace("18.6", "17.12")),
    ],
)
def test_what_was_not_measured_is_told_until_the_same_case_is(line: str, settling: str, other: str) -> None:
    failed = result(name="swap", missing=(line,))
    others = result(Figure(other, "us", "s", (1.0,)), name="swap", at="2026-01-02T00:00:00Z")
    again = result(name="swap", missing=(f"{line} again",), at="2026-01-03T00:00:00Z")
    whole = result(Figure(settling, "us", "s", (1.0,)), name="swap", at="2026-01-04T00:00:00Z")
    assert [r.missing for r in newest([failed])] == [(line,)]
    assert [r.missing for r in newest([failed, others])] == [(line,), ()]
    assert [r.missing for r in newest([failed, others, again])] == [(), (f"{line} again",)]
    assert [r.missing for r in newest([failed, others, again, whole])] == [(), ()]
    assert [r.missing for r in newest([failed, replace(whole, name="apply")])] == [(), (line,)]


def test_of_a_release_whose_server_did_not_start_anything_measured_later_counts() -> None:
    failed = result(name="swap", missing=("testing: no server",))
    whole = result(Figure(CASE, "us", "s", (1.0,)), name="swap", at="2026-01-02T00:00:00Z")
    assert [r.missing for r in newest([failed, whole])] == [()]


def test_kept_results_are_read_back_the_oldest_first(tmp_path: Path) -> None:
    newer, older = pair((6.0,), (10.0,), at="2026-02-01T00:00:00Z"), pair((5.0,), (10.0,))
    keep(newer, tmp_path)
    keep(older, tmp_path)
    assert read(tmp_path) == [older, newer]
    assert read(tmp_path / "none") == []


def test_verdicts_and_numbers_in_words() -> None:
    assert verdict(Figure("a", "us", "ms", (75.0,), "", "less", 50.0)) == "aim ≤ 50: MISSED by 50 %"
    assert verdict(Figure("a", "us", "changes/s", (60_000.0,), "", "more", 50_000)) == "aim ≥ 50,000: met"
    assert verdict(Figure("a", "us", "ms", (75.0,))) == ""
    assert [rounds(Figure("a", "us", "ms", values)) for values in ((1.0,), (1.0, 2.0))] == ["1 round", "2 rounds"]
    assert [number(value) for value in (0.0471, 0.5, 12.345, 512.34, 51_234.4)] == ["0.047", "0.50", "12.35", "512.3", "51,234"]
