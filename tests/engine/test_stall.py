"""What `make stall` does, a few times: swaps there and back under writers at full speed, without an error."""

from __future__ import annotations

import threading
import time

import pytest

from bench import stall
from hyperferry import engine
from hyperferry.model.plan_options import PlanOptions
from servers import Database


@pytest.mark.timeout(300)
def test_a_few_swaps_under_writers_at_full_speed(db: Database) -> None:
    found = stall.measure(db.dsn, swaps=2, rows=5_000, chunks=8, writers=2)
    print("\n".join(stall.table(found)))
    assert not found.errors
    assert found.differences == 0
    assert len(found.swaps) == 4
    assert found.statements > 100
    assert all(swap.reported_ms > 0 for swap in found.swaps)


def test_what_a_writer_felt_is_the_longest_statement_around_the_swap() -> None:
    waits = [stall.Wait(9.0, 50.0), stall.Wait(10.2, 30.0), stall.Wait(13.0, 2500.0), stall.Wait(20.0, 900.0)]
    assert stall.felt(waits, [10.5]) == 2500.0
    assert stall.felt(waits, [9.2]) == 50.0
    assert stall.felt(waits, [15.0]) == 0.0
    assert stall.felt(waits, [9.2, 20.5]) == 900.0
    assert stall.percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert stall.percentile([float(n) for n in range(100, 0, -1)], 0.99) == 99.0
    assert stall.percentile([], 0.99) == 0.0


def test_what_writers_waited_at_an_attempt_that_gave_way_is_put_down_to_the_swap() -> None:
    """And to nothing else: not to what is apart from swaps."""
    swap = stall.Swap("cutover", 2, 5.0, 0, moments=[100.0, 110.0])
    found = stall.Outcome([swap])
    waits = [(100.2, 700.0, "insert"), (105.0, 300.0, "update"), (110.1, 20.0, "insert")]
    stall.account(found, [(0, 3, waits, [(105.0, 300.0, "update")], [])])
    assert (swap.felt_ms, swap.felt_by_kind) == (700.0, {"insert": 700.0, "update": 0.0, "delete": 0.0})
    assert found.usual_ms["slower than 2 ms, max"] == 300.0
    assert found.usual_by_kind == {"update on the plain table": {"p50": 300.0, "p99": 300.0}}


def test_the_attempts_of_a_swap_are_known_by_what_the_tool_says(db: Database) -> None:
    """A session that holds the table at first: the moments of a swap are those of its attempts."""
    with db.connect() as conn:
        conn.execute(stall.TABLE.format(days=70, rows=2_000))
    engine.start(db.dsn, None, engine.make_plan(db.dsn, "stats", "at", PlanOptions(chunk_interval="7 days")))
    with db.connect(autocommit=False) as other:
        other.execute("LOCK TABLE stats IN ROW EXCLUSIVE MODE")
        begun = time.time()

        def lets_go() -> None:
            with db.connect() as conn:
                while not conn.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = 'hyperferry swap' "
                                       "AND datname = current_database()").fetchone():  # fmt: skip
                    time.sleep(0.05)
            time.sleep(1.5)
            other.commit()

        letting = threading.Thread(target=lets_go)
        letting.start()
        swap = stall._once(db.dsn, "cutover")
        letting.join()
    assert len(swap.moments) == swap.attempts >= 2
    assert begun < swap.moments[0] <= swap.moments[-1] < time.time()
