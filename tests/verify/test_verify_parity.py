"""A table and the hypertable that follows it are verified, found equal or not, and repaired."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from hyperferry.errors import CaptureBroken, Conflict, Interrupted, SchemaChanged, Usage
from hyperferry.ledger import store
from hyperferry.model.plan import BatchBy
from kit import tables

Make = Callable[..., Any]
SOME_ROW = "(tableoid, ctid) = (SELECT tableoid, ctid FROM {shadow} ORDER BY tableoid, ctid LIMIT 1)"


@pytest.mark.parametrize("builder", tables.BUILDERS)
def test_equal_tables_match(lab: Make, builder: str) -> None:
    one = lab(tables.BUILDERS[builder])
    report = one.verify()
    assert report.match
    assert report.source_rows == report.target_rows == one.table.rows
    assert (report.difference_count, report.excused, report.quarantined) == (0, 0, 0)
    assert sum(r.source_rows for r in report.ranges) == one.table.rows
    assert one.recorded() == [(True, one.table.rows, one.table.rows, 0)]
    if one.flow.rollout.plan.batch_by is not BatchBy.WHOLE and one.table.rows > 600:
        assert len(report.ranges) > 2
        assert report.ranges[0].start is None
        assert all(a.end == b.start for a, b in pairwise(report.ranges))


@pytest.mark.parametrize("builder", tables.BUILDERS)
def test_a_lost_row_and_a_missed_delete_are_found_and_repaired(lab: Make, builder: str) -> None:
    one = lab(tables.BUILDERS[builder])
    one.run(f"DELETE FROM {{shadow}} WHERE {SOME_ROW}")
    one.run("DELETE FROM {source} WHERE ctid = (SELECT max(ctid) FROM {source})")
    one.run("DELETE FROM {log}")
    report = one.verify()
    assert not report.match
    assert report.difference_count == 2
    assert all(one.table.time in d.pair for d in report.differences)
    assert {d.source_rows - d.target_rows for d in report.differences} == {1, -1}
    assert sum(not r.match for r in report.ranges) in (1, 2)

    repaired = one.verify(repair=True, apply_backlog=one.apply)
    assert repaired.match
    assert repaired.repaired == 2
    assert repaired.source_rows == repaired.target_rows == one.table.rows - 1
    assert [row[0] for row in one.recorded()] == [False, False, True]
    assert one.recorded()[-1][3] == 1, "a repair makes older verifications too old"


def test_values_that_two_rows_swapped_are_found(lab: Make) -> None:
    one = lab(tables.player_stats, rows=1_000)
    one.run(
        "UPDATE {shadow} s SET value = o.value FROM {source} o "
        "WHERE s.id IN (10, 500) AND o.id IN (10, 500) AND o.id <> s.id"
    )
    report = one.verify()
    assert not report.match
    assert [(d.pair["id"], d.kind) for d in report.differences] == [("10", "different"), ("500", "different")]


def test_of_many_differences_all_are_counted_and_a_thousand_listed(lab: Make) -> None:
    one = lab(tables.player_stats, rows=5_000)
    one.run("UPDATE {shadow} SET value = value + 0.01 WHERE id > 1500")
    report = one.verify(workers=3)
    assert report.difference_count == 3_500
    assert len(report.differences) == 1_000
    assert one.verify(repair=True, apply_backlog=one.apply).repaired == 3_500


def test_a_missing_duplicate_is_found_by_its_pair(lab: Make) -> None:
    one = lab(tables.keyless)
    one.run(
        "DELETE FROM {shadow} WHERE (tableoid, ctid) = (SELECT tableoid, max(ctid) FROM {shadow} s "
        "GROUP BY tableoid, s.* HAVING count(*) = 2 ORDER BY tableoid LIMIT 1)"
    )
    (difference,) = one.verify().differences
    assert (difference.kind, difference.source_rows, difference.target_rows) == ("different", 2, 1)
    assert one.verify(repair=True, apply_backlog=one.apply).match


def test_duplicates_that_changed_places_are_found(lab: Make) -> None:
    """{a, a, b} is not {a, b, b}: a sum sees it where an exclusive or does not."""
    one = lab(tables.keyless, rows=30)
    for side in ("source", "shadow"):
        doubled, single = ("a", "b") if side == "source" else ("b", "a")
        one.run(
            f"INSERT INTO {{{side}}} SELECT '2024-05-01', 1, 5, n "
            f"FROM unnest(ARRAY['{doubled}', '{doubled}', '{single}']) n"
        )
    one.run("DELETE FROM {log}")
    assert {(d.source_rows, d.target_rows) for d in one.verify().differences} == {(2, 1), (1, 2)}


def test_groups_have_counts_and_sums(lab: Make) -> None:
    one = lab(tables.player_stats, rows=2_000)
    report = one.verify(by="stat_type")
    rows = one.run("SELECT stat_type, count(*), sum(value)::text FROM {source} GROUP BY 1")
    truth = {group: (count, total) for group, count, total in rows}
    assert {g.group: (g.source_rows, g.source_sums["value"]) for g in report.groups} == truth
    assert all(g.match and g.source_sums == g.target_sums for g in report.groups)
    one.run("UPDATE {shadow} SET value = value + 1 WHERE id = 7")
    report = one.verify(by="stat_type")
    assert [g.match for g in report.groups].count(False) == 1
    with pytest.raises(Usage, match="no column 'season'"):
        one.verify(by="season")


@pytest.mark.parametrize("by", ["free", "f8", "flag", "phase", "jb", "at"])
def test_groups_of_every_type(lab: Make, by: str) -> None:
    one = lab(tables.rich)
    report = one.verify(by=by)
    assert all(g.match for g in report.groups)
    assert sum(g.source_rows for g in report.groups) == one.table.rows


def test_what_the_target_alone_has_in_dropped_ranges_is_counted_apart(lab: Make) -> None:
    """What the source has there was written later, and has to be on both sides."""
    one = lab(tables.player_stats, rows=3_000, days=30)
    gone = (
        ("2020-08-05 00:00:00+00", "2020-08-08 00:00:00+00"),
        ("2020-08-08 00:00:00+00", "2020-08-09 00:00:00+00"),
    )
    one.run("DELETE FROM {source} WHERE game_date >= '2020-08-05' AND game_date < '2020-08-09'")
    one.run("DELETE FROM {log}")
    assert not one.verify().match
    report = one.verify(dropped=gone)
    assert report.match
    assert report.dropped == ((gone[0][0], gone[1][1]),)
    assert (report.dropped_source_rows, report.dropped_target_rows) == (0, 400)
    assert report.source_rows == report.target_rows == 2_600
    one.run("INSERT INTO {source} (player_id, game_id, stat_type, value, game_date) VALUES (1, 1, 'saves', 1, '2020-08-06')")
    assert one.verify(dropped=gone).excused == 1, "its pair stands in the backlog"
    one.run("DELETE FROM {log}")
    report = one.verify(dropped=gone)
    assert [each.kind for each in report.differences] == ["missing"]
    assert report.dropped_target_rows == 400


def test_quarantined_pairs_are_no_match(lab: Make) -> None:
    one = lab(tables.player_stats, rows=500)
    one.run("INSERT INTO {quarantine} (direction, k1, t, reason) VALUES ('forward', 1, now(), 'refused')")
    report = one.verify()
    assert (report.match, report.quarantined, report.difference_count) == (False, 1, 0)


def test_a_row_without_a_time_is_missing_from_the_hypertable(lab: Make) -> None:
    one = lab(tables.player_stats, rows=500, nullable_time=True)
    one.run("INSERT INTO {source} (player_id, game_id, stat_type, value) VALUES (1, 1, 'saves', 1)")
    report = one.verify()
    assert report.excused == 1, "its pair stands in the backlog"
    one.run("DELETE FROM {log}")
    report = one.verify()
    (difference,) = report.differences
    assert (difference.kind, difference.pair["game_date"]) == ("missing", None)
    assert report.ranges[-1].start == "NULL"


def test_what_is_no_longer_what_it_was_is_refused(lab: Make) -> None:
    one = lab(tables.player_stats, rows=300)
    one.run("ALTER TABLE {source} DISABLE TRIGGER hyperferry_forward_delete")
    with pytest.raises(CaptureBroken):
        one.verify()
    one.run("ALTER TABLE {source} ADD COLUMN extra int")
    with pytest.raises(SchemaChanged):
        one.verify()
    assert one.recorded() == []


def test_it_stops_when_asked_and_leaves_nobody_working(lab: Make) -> None:
    one = lab(tables.player_stats, rows=3_000)
    calls = iter(range(1_000))

    def stop() -> None:
        if next(calls) > 12:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        one.verify(stop=stop, range_rows=100)
    assert one.recorded() == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("verify ")]
    at_work = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'hyperferry verify'"
        " AND datname = current_database() AND state <> 'idle'"
    )
    end = time.monotonic() + 10  # a session that was cancelled may end a moment later than its client
    while one.run(at_work):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_only_the_later_of_two_verifications_at_once_counts(lab: Make) -> None:
    one = lab(tables.player_stats, rows=600)
    inner = []

    def apply_and_verify() -> None:
        if not inner:
            inner.append(one.verify())
        one.apply()

    one.run("UPDATE {source} SET value = 1 WHERE id = 1")
    with pytest.raises(Conflict, match="Another verification"):
        one.verify(apply_backlog=apply_and_verify)
    assert len(one.recorded()) == 1


def test_the_epoch_is_that_of_the_beginning(lab: Make) -> None:
    one = lab(tables.player_stats, rows=600)
    one.run("UPDATE {source} SET value = 1 WHERE id = 1")

    def copied_meanwhile() -> None:
        store.bump_epoch(one.conn, one.flow.rollout.id)
        one.apply()

    assert one.verify(apply_backlog=copied_meanwhile).match
    assert one.recorded()[0][3] == 0
