"""What pgbench's log says, and what is made of it."""

from __future__ import annotations

import pytest

from bench.feel import Round, evaluate
from bench.workload import Log, Transaction, Window, parse_log, percentile


def test_a_line_of_the_log() -> None:
    lines = ["3 199 2241 0 1175850568 995598 1500\n", "0 7 500 1 1175850569 100\n", "0 8 60"]
    assert list(parse_log(lines)) == [Transaction(1175850568.995598, 2.241, 1.5), Transaction(1175850569.0001, 0.5)]


@pytest.mark.parametrize("word", ["failed", "skipped", "serialization"])
def test_a_transaction_that_failed_is_an_error(word: str) -> None:
    with pytest.raises(ValueError, match=word):
        list(parse_log([f"0 7 {word} 1 1175850569 100 5\n"]))


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile(values[:7], 0.5) == 4
    assert percentile([7.0], 0.5) == 7


def test_a_window_has_what_ended_in_it_and_its_longest_wait_what_was_under_way() -> None:
    log = Log([Transaction(9.9, 100.0), Transaction(10.5, 1.0), Transaction(11.0, 3.0), Transaction(15.0, 4100.0)])
    felt = log.feeling(Window(10.0, 12.0))
    assert felt is not None
    assert (felt.p50, felt.longest, felt.per_second) == (1.0, 3.0, 1.0)
    assert log.feeling(Window(12.0, 13.0)) is None
    assert log.longest(Window(10.0, 12.0)) == 4100.0
    assert log.longest(Window(10.0, 10.8)) == 3.0 - 2.0
    assert log.longest(Window(16.0, 17.0)) == 0.0


def test_a_phase_is_compared_with_the_workload_alone_before_and_after_it() -> None:
    seconds = {"alone": 2.0, "copy, default throttle": 9.0, "alone, between": 4.0, "catch-up": 12.0, "alone, again": 8.0}
    phases = {name: Window(10.0 * place, 10.0 * place + 9.0) for place, name in enumerate(seconds)}
    log = Log([Transaction(phases[name].start + 1, ms) for name, ms in seconds.items()] + [Transaction(60.0, 70.0)])
    found = evaluate("PG", [Round(phases, {"cutover": Window(59.0, 61.0)})], log)
    ratios = {(r.who, r.what): r for r in found.ratios}
    assert ratios["copy, default throttle", "p99"].values == (3.0,)
    assert ratios["copy, default throttle", "p99"].aim == 1.2
    assert ratios["copy, default throttle", "p50"].aim is None
    assert ratios["catch-up", "p99"].values == (2.0,)
    assert ratios["alone, again", "p50"].values == (4.0,)
    [wait] = [f for f in found.figures if f.what == "longest wait"]
    assert (wait.who, wait.values, wait.missed_by) == ("cutover", (70.0,), pytest.approx(0.4))
