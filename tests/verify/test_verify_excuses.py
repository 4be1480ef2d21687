"""Writers write while a verification runs: what stands in the backlog is excused, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from hyperferry.db import fetch_value
from hyperferry.errors import Failed
from hyperferry.verify import excused_check, excused_groups
from kit import tables

Make = Callable[..., Any]


def check(one: Any) -> bool:
    """The check of the swap, as it stands in its DO block."""
    equal = bool(fetch_value(one.conn, sql.SQL("SELECT {}").format(excused_check(one.flow))))
    block = sql.SQL("DO $hf$ BEGIN IF NOT {} THEN RAISE EXCEPTION 'unequal'; END IF; END $hf$").format(
        excused_check(one.flow)
    )
    grouped = excused_check(one.flow, excused_groups(one.conn, one.flow))
    assert bool(fetch_value(one.conn, sql.SQL("SELECT {}").format(grouped))) == equal
    with nullcontext() if equal else pytest.raises(psycopg.errors.RaiseException, match="unequal"):
        one.conn.execute(block)
    return equal


@pytest.mark.parametrize("builder", tables.BUILDERS)
def test_changes_in_the_backlog_are_excused_and_then_applied(lab: Make, builder: str) -> None:
    one = lab(tables.BUILDERS[builder])
    one.run("DELETE FROM {source} WHERE ctid IN (SELECT ctid FROM {source} LIMIT 40)")
    left = one.verify()
    assert left.match
    assert left.excused > 0
    assert one.run("SELECT count(*) FROM {excused}") == [(left.excused,)]
    assert not check(one), "not applied yet, so not equal"

    applied = one.verify(apply_backlog=one.apply)
    assert applied.match
    assert applied.excused == 0
    assert one.run("SELECT count(*) FROM {excused}") == [(0,)]
    assert check(one)


def test_an_update_of_the_time_is_excused_on_both_of_its_pairs(lab: Make) -> None:
    one = lab(tables.player_stats, rows=2_000)
    one.run("UPDATE {source} SET game_date = game_date + interval '100 days' WHERE id IN (1, 2, 3)")
    report = one.verify()
    assert report.match
    assert report.excused == 6
    assert one.verify(apply_backlog=one.apply).match
    assert one.run("SELECT count(*) FROM {shadow} WHERE id IN (1, 2, 3)") == [(3,)]


def test_a_change_that_was_applied_wrongly_is_no_longer_excused(lab: Make) -> None:
    one = lab(tables.player_stats, rows=2_000)
    one.run("UPDATE {source} SET value = 0 WHERE id <= 5")

    def lose_one() -> None:
        one.run("DELETE FROM {log} WHERE k1 = 3")
        one.apply()

    report = one.verify(apply_backlog=lose_one)
    assert not report.match
    assert [(d.pair["id"], d.kind) for d in report.differences] == [("3", "different")]
    one.run("UPDATE {source} SET value = 0.5 WHERE id <= 5")
    repaired = one.verify(repair=True, apply_backlog=lose_one)
    assert repaired.repaired == 1
    assert not repaired.match, "and lost once more"
    assert one.verify(repair=True, apply_backlog=one.apply).match


def test_a_pair_that_changes_all_the_time_stays_excused_for_the_check_under_the_lock(lab: Make) -> None:
    one = lab(tables.player_stats, rows=1_000)
    one.run("UPDATE {source} SET value = 0 WHERE id <= 9")

    def apply_and_write() -> None:
        one.apply()
        one.run("UPDATE {source} SET value = value + 1 WHERE id = 7")

    report = one.verify(apply_backlog=apply_and_write)
    assert (report.match, report.excused) == (True, 1)
    assert not check(one)
    one.apply()
    assert check(one)
    one.run("UPDATE {shadow} SET value = value - 1 WHERE id = 7")
    assert not check(one)


@pytest.mark.parametrize("builder", tables.BUILDERS)
def test_a_few_pairs_that_changed_again_are_applied_alone(lab: Make, builder: str) -> None:
    """What else stands in the backlog by then waits for whoever applies the rest."""
    one = lab(tables.BUILDERS[builder])
    gone = "DELETE FROM {source} WHERE ctid IN (SELECT ctid FROM {source} ORDER BY ctid OFFSET %s LIMIT 20)"
    applied: list[str] = []
    once = iter([1])

    def apply_all() -> None:
        applied.append("all")
        if next(once, None):  # nothing is, and others come
            one.run(gone, 200)
            return
        one.apply()

    def apply_excused(started: datetime) -> None:
        applied.append("excused")
        one.apply_excused(started)

    one.run(gone, 100)
    [(before,)] = one.run("SELECT count(*) FROM {log}")
    report = one.verify(apply_backlog=apply_all, apply_excused=apply_excused)

    assert applied == ["all", "excused"]
    assert (report.match, report.excused) == (True, 0)
    [(left,)] = one.run("SELECT count(*) FROM {log}")
    assert 0 < left <= before + 20
    assert one.verify().excused > 0
    assert one.verify(apply_backlog=one.apply).excused == 0


def test_an_update_across_chunks_is_told_of_although_it_was_applied_alone(lab: Make) -> None:
    """I9: the cutover asks whether that is accepted. One of the UPDATE's pairs may not stand excused, and be applied later."""
    one = lab(tables.player_stats, rows=1_000)
    one.run("UPDATE {source} SET value = 0 WHERE id <= 5")

    def apply_excused(started: datetime) -> None:
        one.run("UPDATE {source} SET game_date = game_date + interval '1000 days' WHERE id = 3")
        one.apply_excused(started)
        one.apply()

    assert one.verify(apply_backlog=lambda: None, apply_excused=apply_excused).match
    assert one.run("SELECT detail FROM hyperferry.event WHERE kind = 'found'") == [({"accept": ["cross-chunk-updates"]},)]


def test_a_truncate_before_a_few_are_applied_alone_is_applied_with_all_the_rest(lab: Make) -> None:
    one = lab(tables.player_stats, rows=1_000)
    one.run("UPDATE {source} SET value = 0 WHERE id <= 5")

    def apply_excused(started: datetime) -> None:
        one.run("TRUNCATE {source}")
        one.apply_excused(started)

    report = one.verify(apply_backlog=lambda: None, apply_excused=apply_excused)
    assert report.match
    assert report.excused == 0
    assert one.run("SELECT (SELECT count(*) FROM {shadow}), (SELECT count(*) FROM {log})") == [(0, 0)]


def test_a_truncate_is_waited_for(lab: Make) -> None:
    one = lab(tables.player_stats, rows=1_000)
    one.run("TRUNCATE {source}")
    one.run(
        "INSERT INTO {source} (player_id, game_id, stat_type, value, game_date) "
        "VALUES (1, 1, 'x', 1, '2021-01-01')"
    )
    report = one.verify(apply_backlog=one.apply)
    assert report.match
    assert (report.source_rows, report.target_rows) == (1, 1)


def test_a_truncate_between_the_two_looks_excuses_what_it_emptied(lab: Make) -> None:
    """Rows that were excused at the first look are gone from the source at the second, and no pair of theirs is in the log
    (`make torture SEED=436`)."""
    one = lab(tables.player_stats, rows=1_000)
    one.run("UPDATE {source} SET value = value + 1 WHERE id <= 20")
    emptied: list[int] = []

    def apply_then_truncate() -> None:
        one.apply()
        if not emptied:
            emptied.append(1)
            one.run("TRUNCATE {source}")

    report = one.verify(apply_backlog=apply_then_truncate)
    assert (report.match, report.difference_count, report.excused) == (True, 0, 0)
    assert one.run("SELECT count(*) FROM {shadow}") == [(0,)]


def test_a_truncate_that_is_never_applied_is_an_error(lab: Make) -> None:
    one = lab(tables.player_stats, rows=300)
    one.run("TRUNCATE {source}")
    with pytest.raises(Failed, match="truncated"):
        one.verify(apply_backlog=lambda: None)


def test_groups_leave_out_what_is_on_its_way(lab: Make) -> None:
    one = lab(tables.player_stats, rows=1_000)
    one.run("UPDATE {source} SET value = value + 1, stat_type = 'other' WHERE id <= 10")
    report = one.verify(by="stat_type", range_rows=10_000)
    assert all(g.match for g in report.groups)
    assert sum(g.source_rows for g in report.groups) == 990


def test_a_large_backlog_is_looked_at_slice_by_slice(lab: Make) -> None:
    one = lab(tables.player_stats, rows=12_000)
    one.run("UPDATE {source} SET value = value + 1 WHERE id > 2000")
    report = one.verify(apply_backlog=one.apply, range_rows=3_000)
    assert (report.match, report.excused) == (True, 0)


def test_the_check_for_groups_read_before_sees_a_pair_that_came_since(lab: Make) -> None:
    one = lab(tables.player_stats, rows=300)
    nothing = excused_check(one.flow, excused_groups(one.conn, one.flow))
    assert fetch_value(one.conn, sql.SQL("SELECT {}").format(nothing))
    one.run("INSERT INTO {excused} (k1, t) SELECT id, game_date FROM {source} WHERE id = 1")
    assert check(one), "its rows are equal"
    assert not fetch_value(one.conn, sql.SQL("SELECT {}").format(nothing))
