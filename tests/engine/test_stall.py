"""What `make stall` does, a few times: swaps there and back under writers at full speed, without an error."""

from __future__ import annotations

import pytest

from bench import stall
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
    assert stall.felt(waits, 10.0, 11.0) == 2500.0
    assert stall.felt(waits, 10.0, 10.4) == 30.0
    assert stall.felt(waits, 14.0, 15.0) == 0.0
    assert stall.percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert stall.percentile([float(n) for n in range(100, 0, -1)], 0.99) == 99.0
    assert stall.percentile([], 0.99) == 0.0
