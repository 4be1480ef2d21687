"""The valve: pace as a share of the time, rate as a debt of rows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hyperferry.model.throttle import Cause, Decision
from hyperferry.throttle.valve import LONGEST_REST, Valve, rest


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_nothing_decided_holds_nothing_back() -> None:
    assert not Valve(Clock()).must_wait(10, 0)


def test_a_pace_of_a_half_rests_as_long_as_it_worked() -> None:
    clock = Clock()
    valve = Valve(clock)
    valve.set(Decision(pace=0.5))
    assert valve.must_wait(3, 2.9)
    assert not valve.must_wait(3, 3.0)
    valve.set(Decision(pace=0))
    assert valve.must_wait(0, 1e9)


def test_a_changed_pace_counts_for_the_rest_that_is_being_taken() -> None:
    valve = Valve(Clock())
    valve.set(Decision(pace=0.1))
    assert valve.must_wait(3, 5)
    valve.set(Decision(pace=0.5))
    assert not valve.must_wait(3, 5)


@settings(deadline=None)
@given(
    st.floats(10, 1e5),
    st.lists(st.tuples(st.integers(0, 100_000), st.floats(0, 2)), min_size=1, max_size=30),
)
def test_on_average_the_rate_is_never_exceeded(rate: float, batches: list[tuple[int, float]]) -> None:
    """However long batches take, by the time that the next may begin the rows so far fit into the time so far."""
    clock = Clock()
    valve = Valve(clock)
    valve.set(Decision(rate=rate))
    begun, rows = clock.now, 0
    for size, took in batches:
        clock.now += took
        rows += size
        valve.copied(size)
        while valve.must_wait(0, 0):
            clock.now += 0.5
            valve.set(Decision(rate=rate))
        assert rows <= rate * (clock.now - begun) + 1e-3
        # And it is not waited for much longer than that.
        assert clock.now - begun <= sum(t for _, t in batches) + rows / rate + 0.5 * len(batches)


def test_a_rate_that_is_taken_off_forgets_the_debt() -> None:
    valve = Valve(Clock())
    valve.set(Decision(rate=1))
    valve.copied(1_000_000)
    assert valve.must_wait(0, 0)
    valve.set(Decision())
    assert not valve.must_wait(0, 0)


def test_a_watcher_that_falls_silent_stops_the_copy() -> None:
    """The server may have worse to do than to answer; who never looked at all does not count."""
    clock = Clock()
    valve = Valve(clock)
    clock.now += 100
    assert not valve.must_wait(0, 0)
    valve.set(Decision())
    clock.now += 9
    assert not valve.must_wait(0, 0)
    clock.now += 2
    assert valve.must_wait(0, 0)
    assert [reason.cause for reason in valve.decision.reasons] == [Cause.NO_ANSWER]
    assert valve.decision.apply_pace > 0
    valve.let_go()
    assert not valve.must_wait(0, 0)


def test_idle_is_counted_from_the_end_of_the_last_batch() -> None:
    clock = Clock()
    valve = Valve(clock)
    with valve.batch():
        clock.now += 50
        assert valve.idle_seconds == 0
    clock.now += 3
    assert valve.idle_seconds == 3


@given(st.floats(0, 1e4), st.floats(0, 1))
def test_a_rest_is_bounded(worked: float, pace: float) -> None:
    assert 0 <= rest(worked, pace) <= LONGEST_REST


def test_no_more_are_at_work_at_once_than_may_be() -> None:
    valve = Valve(Clock())
    valve.set(Decision(workers=2))
    assert [valve.begin(), valve.begin(), valve.begin()] == [True, True, False]
    assert not valve.must_wait(0, 0), "one that is alone is held back by nobody"
    valve.end()
    assert [valve.begin(), valve.begin()] == [True, False]
    valve.set(Decision(workers=1))
    valve.end()
    assert not valve.begin(), "one is still at work"
    valve.end()
    assert valve.begin()
    valve.set(Decision())
    assert [valve.begin() for _ in range(5)] == [True] * 5


def test_a_turn_waits_for_what_a_look_waits_for() -> None:
    clock = Clock()
    valve = Valve(clock)
    valve.set(Decision(pace=0.5))
    assert not valve.begin(3, 2.9)
    assert valve.idle_seconds == 0
    clock.now += 2
    assert valve.idle_seconds == 2, "what was not begun is not at work"
    assert valve.begin(3, 3.0)
    assert valve.idle_seconds == 0


def test_beside_others_the_pace_is_a_share_of_the_time_of_those_that_may_work() -> None:
    """One of two may work: one does not begin because the other rests."""
    clock = Clock()
    valve = Valve(clock)
    valve.set(Decision(pace=0.5, workers=1))
    assert valve.begin()
    clock.now += 4
    valve.end(4)
    assert not valve.begin(), "the other one, which never worked"
    clock.now += 3.9
    assert not valve.begin()
    valve.set(Decision(pace=1, workers=1))
    assert valve.begin(), "at full pace nobody rests"
    valve.end(0.1)
    valve.set(Decision(pace=0.5, workers=1))
    assert not valve.begin()
    clock.now += LONGEST_REST
    valve.set(Decision(pace=0.5, workers=1))
    assert valve.begin()


@settings(deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 5),
    st.sampled_from((0.1, 0.25, 0.5, 0.9)),
    st.lists(st.floats(0.1, 3), min_size=20, max_size=40),
)
def test_however_many_workers_there_are_the_work_keeps_to_its_share(
    most: int, workers: int, pace: float, took: list[float]
) -> None:
    """Played through: workers that each do batch after batch, at most `most` at once, at that pace."""
    clock = Clock()
    valve = Valve(clock)
    valve.set(Decision(pace=pace, workers=most))
    until = [0.0] * workers  # when a worker's batch ends; 0: it waits
    since = [clock.now] * workers
    last = [0.0] * workers
    batches, done = list(took), 0.0
    begun = clock.now
    while batches or any(until):
        valve.set(Decision(pace=pace, workers=most))  # whoever watches looks again and again
        for number in range(workers):
            if until[number] and clock.now >= until[number]:
                valve.end(last[number])
                until[number], since[number] = 0.0, clock.now
            if not until[number] and batches and valve.begin(last[number], clock.now - since[number]):
                last[number] = batches.pop()
                done += last[number]
                until[number] = clock.now + last[number]
        clock.now += 0.05
    spent = clock.now - begun
    # The rest of the last batches is not waited for.
    assert done * (1 / pace) <= most * spent + most * min(LONGEST_REST, 3 / pace) + 1
