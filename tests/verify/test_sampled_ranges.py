"""A large table is cut by a sample of its pages: the ranges hold every row all the same, and the index is not read for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from hyperferry.verify import ranges
from kit import tables

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of tests have few pages: half of them make a sample."""
    monkeypatch.setattr(ranges, "SAMPLED_PERCENT", 50)


@pytest.mark.parametrize("builder", tables.BUILDERS)
def test_every_row_lies_in_a_range(lab: Make, builder: str) -> None:
    one = lab(tables.BUILDERS[builder])
    one.run("ANALYZE {source}")
    report = one.verify(range_rows=max(1, one.table.rows // 10))
    assert report.match
    assert sum(r.source_rows for r in report.ranges) == sum(r.target_rows for r in report.ranges) == one.table.rows
    assert report.ranges[0].start is None
    assert all(a.end == b.start for a, b in pairwise(r for r in report.ranges if r.start != "NULL"))


def test_a_sample_spares_the_index_and_the_ranges_are_about_as_wide(lab: Make) -> None:
    one = lab(tables.player_stats, rows=30_000)
    one.run("VACUUM ANALYZE {source}")
    one.conn.execute("SELECT pg_stat_force_next_flush()")
    read = _entries(one)
    found = ranges.find_ranges(one.conn, one.flow, stop=lambda: None, tries=3, rows=2_000)
    one.conn.execute("SELECT pg_stat_force_next_flush()")
    assert _entries(one) - read <= 2 * 2_000 + 10  # behind the last cut
    assert 8 <= len(found) <= 30
    widths = [r.source_rows for r in one.verify(range_rows=2_000).ranges]
    assert sum(widths) == 30_000
    assert max(widths) < 8_000


def test_the_end_of_a_table_that_grew_is_cut_too(lab: Make) -> None:
    """What came after the last look at the table's size lies behind the last cut of the sample, or in it; no range is left wide."""
    one = lab(tables.player_stats, rows=10_000)
    one.run("VACUUM ANALYZE {source}")
    one.run(
        "INSERT INTO {source} (player_id, game_id, stat_type, value, game_date) "
        "SELECT 1, 1, 'late', 1, timestamptz '2031-01-01' + i * interval '1 s' FROM generate_series(1, 5000) AS i"
    )
    one.apply()
    report = one.verify(range_rows=1_000)
    assert report.match
    assert report.source_rows == 15_000
    assert max(r.source_rows for r in report.ranges) < 4_000


@pytest.mark.parametrize("where", ["min", "max", "percentile_disc(0.5) WITHIN GROUP"])
def test_a_row_is_missed_wherever_it_was(lab: Make, where: str) -> None:
    one = lab(tables.player_stats, rows=10_000)
    one.run("VACUUM ANALYZE {source}")
    chosen = f"{where} (ORDER BY game_date)" if "GROUP" in where else f"{where}(game_date)"
    one.run(f"DELETE FROM {{shadow}} WHERE game_date = (SELECT {chosen} FROM {{source}})")
    report = one.verify(range_rows=1_000)
    assert not report.match
    assert report.difference_count >= 1


def _entries(one: Any) -> int:
    """Entries of the source's indexes that were read so far."""
    name = one.flow.active.name.quoted
    rows = one.run("SELECT idx_tup_read FROM pg_stat_all_indexes WHERE relid = %s::text::regclass", name)
    return sum(int(row[0]) for row in rows)


def test_the_plain_table_is_not_read_whole_for_a_part_of_it(lab: Make) -> None:
    """The planner takes the pages of a bitmap for scattered, and would read the whole table for each of its tenths."""
    one = lab(tables.player_stats, rows=20_000)
    one.run("VACUUM ANALYZE {source}")
    at_work = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'hyperferry%%verify%%'"

    def scanned() -> int:
        while one.run(at_work):  # sessions tell what they did when they end
            time.sleep(0.01)
        return int(one.run("SELECT seq_scan FROM pg_stat_user_tables WHERE relid = %s", one.flow.active.oid)[0][0])

    before = scanned()
    one.run("SELECT count(v) FROM (SELECT value AS v, game_date FROM {source} WHERE game_date IS NOT NULL) AS x")
    assert scanned() == before + 1
    report = one.verify(range_rows=18_000)
    assert report.match
    assert len(report.ranges) == 2
    assert scanned() == before + 1
