"""The width of a chunk of an integer time column: in its own unit, or as a length of time where the values tell their unit."""

from __future__ import annotations

import pytest

from hyperferry import engine
from hyperferry.errors import HyperferryError, Usage
from hyperferry.model.plan import Plan
from hyperferry.model.plan_options import PlanOptions
from servers import Database

PER_SECOND = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


def plan(db: Database, values: str, interval: str | None, kind: str = "bigint") -> Plan:
    """The plan for 90 rows whose time is what `values` makes of `i`, 0 to 89 days after 2024-01-01."""
    db.execute(
        f"CREATE TABLE t (at {kind} PRIMARY KEY, v text); "
        f"INSERT INTO t SELECT {values}, 'x' FROM generate_series(0, 89) AS i"
    )
    return engine.make_plan(db.dsn, "t", "at", PlanOptions(chunk_interval=interval))


@pytest.mark.parametrize("unit", PER_SECOND)
def test_a_length_of_time_is_turned_into_the_columns_unit(db: Database, unit: str) -> None:
    made = plan(db, f"(1704067200 + i * 86400) * {PER_SECOND[unit]}::bigint", "7 days")
    assert (made.interval.width, made.interval.integer) == (7 * 86400 * PER_SECOND[unit], True)
    scan = made.inspection.scan
    assert scan is not None
    assert (scan.buckets, scan.interval) == (14, str(made.interval.width)), "counted by that width"
    assert any(unit in line for line in made.interval.reason)


def test_a_number_is_taken_as_it_is(db: Database) -> None:
    made = plan(db, "i * 10", "100", "integer")
    assert made.interval.width == 100
    assert made.inspection.scan is not None
    assert made.inspection.scan.buckets == 9


@pytest.mark.parametrize(
    ("values", "interval", "told"),
    [
        ("i", "7 days", "give a whole number in the column's own unit"),
        ("1704067200 + i", "seven days", "or a length of time such as '7 days'"),
        ("1704067200 + i", "-7 days", "or a length of time such as '7 days'"),
        ("1704067200 + i", "0", "a whole number above 0"),
    ],
)
def test_what_cannot_be_a_width_says_what_can(
    db: Database, values: str, interval: str, told: str
) -> None:
    with pytest.raises(Usage, match="cannot be the chunk interval of at") as caught:
        plan(db, values, interval, "integer")
    assert told in str(caught.value.remedy)


def test_a_unit_that_only_some_values_tell_is_refused(db: Database) -> None:
    """One row of 1970 among seconds of 2024: a length of time would be a guess."""
    with pytest.raises(HyperferryError, match="unit of the integer column") as caught:
        plan(db, "CASE WHEN i = 0 THEN 5 ELSE 1704067200 + i * 86400 END", "7 days")
    assert caught.value.exit_code == 3
