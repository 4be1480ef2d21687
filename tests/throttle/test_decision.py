"""The decision is pure: what was seen against the limits, with what stopped it before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperferry.model.throttle import (
    DEFAULTS,
    Cause,
    Cores,
    Decision,
    Latency,
    Limits,
    LockWait,
    Replica,
    Samples,
    Slot,
    limits_of,
    parse_limit,
)
from hyperferry.throttle.decision import (
    APPLY_LEAST,
    SAFE_BYTES,
    decide,
    latency_baseline,
    latency_of,
    pace_at,
    sessions_at_once,
)

seconds = st.floats(0, 1e6)
replicas = st.builds(Replica, st.text(min_size=1, max_size=5), seconds)
slots = st.builds(
    Slot,
    st.text(min_size=1, max_size=5),
    st.integers(0, 1 << 50),
    st.booleans(),
    st.none() | st.integers(-(1 << 40), 1 << 40),
    st.none() | st.integers(1 << 20, 1 << 40),
)
waits = st.builds(LockWait, st.just("pid 1"), seconds)
samples = st.builds(
    Samples,
    st.lists(replicas, max_size=3).map(tuple),
    st.lists(slots, max_size=3).map(tuple),
    st.none() | st.floats(0, 1e5),
    st.none() | st.floats(0.01, 1e4),
    st.lists(waits, max_size=3).map(tuple),
    no_answer_seconds=st.just(0.0) | seconds,
    company=st.integers(0, 5),
    cores=st.none() | st.integers(1, 64),
    workers=st.integers(1, 16),
)
positive = st.none() | st.floats(0.001, 1e6)
limits = st.builds(
    Limits,
    positive,
    positive,
    st.none() | st.floats(1, 1e13),
    st.none()
    | st.builds(Latency, milliseconds=st.floats(0.1, 1e4))
    | st.builds(Latency, factor=st.floats(1.1, 100)),
    positive,
    st.none() | st.builds(Cores, st.none() | st.integers(1, 64)),
)


@settings(deadline=None)
@given(samples, limits, st.none() | st.builds(decide, samples, limits))
def test_every_decision_is_sound(seen: Samples, held: Limits, before: Decision | None) -> None:
    """Paces within bounds, applying never stopped, and whatever is slowed is explained."""
    made = decide(seen, held, before)
    assert 0 <= made.pace <= 1
    assert APPLY_LEAST <= made.apply_pace <= 1
    assert made.rate == held.max_rate
    assert (made.pace == 0) == any(reason.stops for reason in made.reasons) == (made.state == "stopped")
    assert bool(made.reasons) == (made.state != "free") == bool(made.text)
    if made.pace < 1:
        assert any(reason.cause not in (Cause.RATE, Cause.COMPANY) for reason in made.reasons)
    assert made.workers is None or (made.workers >= 1 and seen.company)
    assert len({reason.cause for reason in made.reasons}) == len(made.reasons)


@settings(deadline=None)
@given(samples, limits, st.none() | st.builds(decide, samples, limits))
def test_what_stays_the_same_is_decided_the_same(
    seen: Samples, held: Limits, before: Decision | None
) -> None:
    """No flapping: with unchanged samples the second decision is the last."""
    once = decide(seen, held, before)
    assert decide(seen, held, once) == once


@settings(deadline=None)
@given(samples, limits, st.none() | st.builds(decide, samples, limits))
def test_what_stopped_before_never_makes_it_faster(
    seen: Samples, held: Limits, before: Decision | None
) -> None:
    assert decide(seen, held, before).pace <= decide(seen, held).pace


@settings(deadline=None)
@given(samples, limits)
def test_without_limits_nothing_is_held_back(seen: Samples, held: Limits) -> None:
    nothing = Limits(None, None, None, None, None, None)
    assert decide(replace(seen, no_answer_seconds=0.0), nothing) == Decision()


@settings(deadline=None)
@given(samples, limits, st.floats(0, 1e6))
def test_a_further_replica_never_speeds_it_up(seen: Samples, held: Limits, lag: float) -> None:
    more = replace(seen, replicas=(*seen.replicas, Replica("one more", lag)))
    assert decide(more, held).pace <= decide(seen, held).pace


@settings(deadline=None)
@given(st.floats(0, 5), st.floats(0, 5))
def test_the_pace_falls_with_the_severity(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= pace_at(high) <= pace_at(low) <= 1
    assert pace_at(0.7) == 1
    assert pace_at(1) == 0
    assert pace_at(0.999) == pytest.approx(0.1, abs=0.01)


def lagging(seconds: float) -> Samples:
    return Samples(replicas=(Replica("near", 0.0), Replica("far", seconds)))


def test_a_lag_that_swings_about_the_limit_stops_it_once() -> None:
    """Stopped at the limit, and on again only when the lag has really gone down."""
    made, states = Decision(), []
    for lag in (1, 9.9, 10.1, 9.5, 10.2, 8, 9.9, 7.5, 6.9, 7.5, 1):
        made = decide(lagging(lag), Limits(), made)
        states.append(made.state)
    assert states == ["free", "slowed", *["stopped"] * 6, "free", "slowed", "free"]


def test_the_worst_replica_is_named_with_its_numbers() -> None:
    made = decide(lagging(12), Limits())
    assert made.text == "replica far is 12 s behind (limit 10 s)"
    assert [reason.cause for reason in made.reasons] == [Cause.REPLICA_LAG]
    assert made.apply_pace == APPLY_LEAST


def test_only_replicas_and_slots_slow_the_applier() -> None:
    waiting = Samples(latency_ms=500, baseline_ms=1, lock_waits=(LockWait("pid 7", 60, "pid 8 (psql)"),))
    made = decide(waiting, Limits())
    assert (made.pace, made.apply_pace) == (0, 1)
    assert made.text == (
        "a commit takes 500 ms (limit 100 ms, 1.0 ms without copying); "
        "pid 7 has waited 60 s for a lock on the table behind pid 8 (psql) (limit 1.0 s)"
    )


@pytest.mark.parametrize(
    ("slot", "state"),
    [
        (Slot("s", 1 << 30, True), "free"),
        (Slot("s", 9 << 30, True), "slowed"),
        (Slot("s", 10 << 30, False), "stopped"),
        (Slot("s", 1 << 30, True, safe=SAFE_BYTES, bound=100 << 30), "stopped"),
        (Slot("s", 1 << 30, True, safe=int(SAFE_BYTES / 0.9), bound=100 << 30), "slowed"),
        (Slot("s", 1 << 30, True, safe=2 * SAFE_BYTES, bound=100 << 30), "free"),
        # Where the server's own bound is small, half of it has to be left.
        (Slot("s", 10 << 20, True, safe=190 << 20, bound=200 << 20), "free"),
        (Slot("s", 110 << 20, True, safe=90 << 20, bound=200 << 20), "stopped"),
        (Slot("s", 210 << 20, True, safe=-5, bound=200 << 20), "stopped"),
    ],
)
def test_a_slot_near_its_limit_or_its_loss(slot: Slot, state: str) -> None:
    made = decide(Samples(slots=(slot,)), Limits())
    assert made.state == state
    if state == "stopped":
        assert "slot s" in made.text


def test_a_slot_that_nobody_reads_is_called_so() -> None:
    made = decide(Samples(slots=(Slot("dead", 20 << 30, False, 1 << 20, 30 << 30),)), Limits())
    assert (
        made.text
        == "slot dead, which nobody reads, keeps 20 GB of WAL (limit 10 GB) and is lost after 1 MB more"
    )


def test_a_rate_given_by_hand_is_a_reason_too() -> None:
    made = decide(Samples(), Limits(max_rate=5000))
    assert (made.state, made.pace, made.rate) == ("slowed", 1, 5000)
    assert made.text == "at most 5,000 rows/s by hand"


@pytest.mark.parametrize(
    ("limit", "cores", "workers", "most", "told"),
    [
        (Cores(), 2, 2, 1, True),
        (Cores(), 1, 2, 1, True),
        (Cores(), 8, 4, 4, False),
        (Cores(), 3, 2, 1, True),
        (Cores(), None, 2, None, False),
        (Cores(3), None, 8, 3, True),
        (Cores(3), 2, 2, 3, False),
        (None, 2, 2, None, False),
    ],
)
def test_beside_others_half_of_the_cores_are_theirs(
    limit: Cores | None, cores: int | None, workers: int, most: int | None, told: bool
) -> None:
    seen = Samples(company=7, cores=cores, workers=workers)
    found, text = sessions_at_once(seen, Limits(max_cores=limit))
    assert (found, bool(text)) == (most, told)
    made = decide(seen, Limits(max_cores=limit))
    assert (made.workers, made.pace) == (most, 1)
    assert made.state == ("slowed" if told else "free")
    assert decide(replace(seen, company=0), Limits(max_cores=limit)) == Decision()


def test_the_company_is_told_with_its_numbers() -> None:
    made = decide(Samples(company=7, cores=2, workers=2), Limits())
    assert made.text == "7 sessions of others are at work: 1 of 2 workers at once (limit half)"
    made = decide(Samples(company=1, workers=4), Limits(max_cores=Cores(3)))
    assert made.text == "1 session of others is at work: 3 of 4 workers at once (limit 3)"


def test_a_multiple_of_nearly_nothing_has_a_floor() -> None:
    """Ten times 0.2 ms is 2 ms, which any hiccup takes."""
    assert decide(Samples(latency_ms=60, baseline_ms=0.2), Limits()).state == "free"
    assert decide(Samples(latency_ms=60, baseline_ms=0.2), Limits(max_latency=Latency(50))).state == "stopped"
    assert decide(Samples(latency_ms=60), Limits()).state == "free"


def test_one_slow_commit_is_no_latency() -> None:
    assert latency_of([]) is None
    assert latency_of([1, 1, 900, 1, 1]) == 1
    assert latency_of([900, 900, 900, 1, 1, 1, 1, 1]) == 1


def test_a_server_that_is_slow_without_us_gets_a_new_baseline() -> None:
    """Else a copy that was stopped for a slowness that is not its own would wait for ever."""
    assert latency_baseline(1, [300] * 5, 0.0) == 1
    assert latency_baseline(1, [300] * 5, 9.9) == 1
    new = latency_baseline(1, [300] * 5, 10.0)
    assert new == 300
    before = decide(Samples(latency_ms=300, baseline_ms=1), Limits())
    assert before.state == "stopped"
    assert decide(Samples(latency_ms=300, baseline_ms=new), Limits(), before).state == "free"
    # A limit in milliseconds is the user's own word.
    held = Limits(max_latency=Latency(100))
    assert decide(Samples(latency_ms=300, baseline_ms=new), held, before).state == "stopped"


def test_the_defaults_in_words_are_the_defaults() -> None:
    assert limits_of(DEFAULTS) == limits_of({}) == Limits()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_rate", "5000", 5000.0),
        ("max_rate", "none", None),
        ("max_replica_lag", "1.5", 1.5),
        ("max_replica_lag", "500ms", 0.5),
        ("max_replica_lag", "2 min", 120.0),
        ("max_slot_lag", "10GB", 10.0 * (1 << 30)),
        ("max_slot_lag", "1048576", 1048576.0),
        ("max_latency", "250ms", Latency(milliseconds=250)),
        ("max_latency", "0.5s", Latency(milliseconds=500)),
        ("max_latency", "20", Latency(milliseconds=20)),
        ("max_latency", "2.5x", Latency(factor=2.5)),
        ("max_latency", "None", None),
        ("max_lock_wait", "3s", 3.0),
        ("max_cores", "half", Cores()),
        ("max_cores", " Half", Cores()),
        ("max_cores", "3", Cores(3)),
        ("max_cores", "none", None),
    ],
)
def test_limits_as_a_person_writes_them(name: str, text: str, value: object) -> None:
    assert parse_limit(name, text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_rate", "0"),
        ("max_rate", "-1"),
        ("max_rate", "fast"),
        ("max_rate", ""),
        ("max_replica_lag", "10GB"),
        ("max_replica_lag", "1e9s"),
        ("max_slot_lag", "10s"),
        ("max_latency", "1x"),
        ("max_latency", "x"),
        ("max_lock_wait", "0s"),
        ("max_cores", "0"),
        ("max_cores", "1.5"),
        ("max_cores", "-2"),
        ("max_cores", "all"),
        ("max_cores", ""),
        ("max_weight", "3"),
    ],
)
def test_what_is_no_limit(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"understood|for ever|no limit|greater"):
        parse_limit(name, text)
