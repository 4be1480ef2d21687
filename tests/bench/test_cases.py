"""Each case once, in a tiny size, on a real server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import backlog, capture, contenders, conversion, feel, footprint, growth, run, stall, swaps, tables
from bench.__main__ import bench as command
from bench.cases import quick, usual
from bench.kept import read
from bench.place import Connection, Place
from bench.result import Measured

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def few_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """166 chunks take their time for few rows too."""
    for room in (capture, contenders, feel, growth):
        monkeypatch.setattr(room, "CHUNK", "300 days")


def silent(text: str) -> None:
    """Nobody reads it."""


def whos(found: Measured, what: str = "") -> set[str]:
    return {figure.who for figure in found.figures if figure.what == what}


def test_conversion(place: Place) -> None:
    everybody = tuple(contenders.CONTENDERS)
    assert len(everybody) == 7
    sizes = conversion.Sizes((2_000,), ("narrow",), (3,), 1, everybody)
    found = conversion.measure(place, sizes, silent)
    assert {who for one in everybody for who in (one, f"{one}: ANALYZE")} <= whos(found)
    assert {"hyperferry: load and indexes", "hyperferry, 1,000 writes/s: verification"} <= whos(found)
    assert all(figure.median > 0 for figure in found.figures)
    aims = {ratio.over: ratio.aim for ratio in found.ratios if ratio.who == "hyperferry"}
    assert aims["INSERT ... SELECT"] is not None
    assert aims["INSERT ... SELECT, indexes after"] is None
    [share] = [ratio for ratio in found.ratios if ratio.who == "hyperferry: verification"]
    assert share.aim == 0.1
    assert 0 < share.median < 100
    [achieved] = [figure for figure in found.figures if figure.what == "achieved"]
    assert (achieved.who, achieved.unit) == ("hyperferry, 1,000 writes/s", "writes/s")
    assert 100 < achieved.median < 3_000
    [rate] = [figure for figure in found.figures if figure.unit == "rows/s"]
    assert rate.better == "more"


def test_each_round_begins_with_another_contender_on_segments_that_are_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    there: list[object] = []

    def noted(who: str) -> Callable[[contenders.Job], contenders.Timing]:
        def contender(job: contenders.Job) -> contenders.Timing:
            order.append(who)
            there.extend(
                job.conn.execute(
                    "SELECT sum(size) >= 2 * pg_total_relation_size('public.player_stats') AND "
                    "current_setting('min_wal_size') = current_setting('max_wal_size') FROM pg_ls_waldir()"
                ).fetchone()
                or ()
            )
            return contenders.Timing(1.0, 1.0)

        return contender

    monkeypatch.setattr(conversion, "CONTENDERS", {who: noted(who) for who in "abc"})
    with place.connect() as conn:
        conn.execute("ALTER SYSTEM RESET min_wal_size")
        conn.execute("SELECT pg_reload_conf()")
    conversion.measure(place, conversion.Sizes((200_000,), ("narrow",), (6,), 4, ("a", "b", "c")), silent)
    assert "".join(order) == "abcbcacababc"
    assert set(there) == {True}


@pytest.mark.parametrize(("who", "rows"), [("INSERT ... SELECT", 0), ("INSERT ... SELECT, indexes after", 2_000)])
def test_indexes_count_into_the_time_before_the_rows_or_after(place: Place, monkeypatch: pytest.MonkeyPatch, who: str, rows: int) -> None:
    with place.connect() as conn:
        tables.make_source(conn, shape="narrow", indexes=3, rows=2_000)
        there: list[object] = []

        def slowly(conn: Connection, table: str, indexes: int) -> None:
            there.extend(conn.execute(f"SELECT count(*) FROM public.{table}").fetchone() or ())
            tables.add_indexes(conn, table, indexes)
            there.extend(conn.execute(f"SELECT count(*) FROM pg_index WHERE indrelid = 'public.{table}'::regclass").fetchone() or ())
            time.sleep(1.0)

        monkeypatch.setattr(contenders, "add_indexes", slowly)
        timing = contenders.CONTENDERS[who](contenders.Job(place, conn, 2_000, 3))
    assert there == [rows, 3]
    assert timing.total > 1.0


def test_a_conversion_with_another_statistics_target_is_another_case(place: Place) -> None:
    """Its ANALYZE is not compared with that of the server's own."""
    with place.connect() as conn:
        try:
            sizes = conversion.Sizes((2_000,), ("narrow",), (1,), 1, ("plain table",), 10)
            found = conversion.measure(place, sizes, silent)
            assert conn.execute("SHOW default_statistics_target").fetchone() == ("10",)
        finally:
            conn.execute("ALTER SYSTEM RESET default_statistics_target")
            conn.execute("SELECT pg_reload_conf()")
    assert {figure.case for figure in found.figures} == {
        f"{place.title}, 2,000 narrow rows, 1 indexes, statistics target 10"
    }


def test_feel(one_place: Place) -> None:
    found = feel.measure(one_place, feel.Sizes(2_000, 200, 1.0, 2_000, 1, 0.1), silent)
    assert {"alone", "captured, nothing applied", "catch-up", "reverse sync", "alone, again"} <= whos(found, "p99")
    assert {"start to synced, default throttle", "start to synced, no throttle"} <= whos(found, "p99")
    assert whos(found, "longest wait") == {"cutover", "rollback"}
    assert all(figure.median > 0 for figure in found.figures)
    assert {ratio.who for ratio in found.ratios if ratio.aim} >= {"start to synced, default throttle"}


def test_capture(one_place: Place) -> None:
    found = capture.measure(one_place, capture.Sizes(20_000, 10_000, 50, 1, 1), silent)
    assert len(found.figures) == 20
    aims = {
        "50 INSERTs of one row": 1.05,
        "50 UPDATEs of one row": 1.05,
        "1 INSERTs, 10,000 rows in a statement": 1.25,
        "1 UPDATEs, 10,000 rows in a statement": 1.25,
        "COPY of 10,000 rows": 1.25,
    }
    # By row nothing is aimed at: it is stated.
    stated = {what + capture.BY_ROW: None for what in aims}
    assert {ratio.what: ratio.aim for ratio in found.ratios} == {**aims, **stated}
    assert all(ratio.median > 1 for ratio in found.ratios if "COPY" in ratio.what)


def test_apply(one_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for what in [what for what in backlog.MAKERS if what not in (backlog.UPDATES, "deletes, every ninth row")]:
        monkeypatch.delitem(backlog.MAKERS, what)
    found = backlog.measure(one_place, backlog.Sizes(2_000, 2, (200,)), silent)
    speeds = [figure for figure in found.figures if figure.unit == "changes/s"]
    assert {figure.who for figure in speeds} == set(backlog.MAKERS)
    # A second round finds as much to change as the first.
    assert all(len(figure.values) == 2 and min(figure.values) > 0 for figure in speeds)
    [achieved] = [figure for figure in found.figures if figure.what == "achieved"]
    assert 50 < achieved.median < 400
    [curve] = found.curves
    assert max(backlog for _, backlog in curve.points) > 0


def test_swap(place: Place) -> None:
    found = swaps.measure(place, swaps.Sizes(((2_000, 4), (0, 4)), 1, 1, None, ((2_000, 4),)), silent)
    assert whos(found, "longest writer, p99") == {"cutover", "rollback"}
    assert all(figure.median > 0 for figure in found.figures if figure.what == "stall_ms reported, p50")
    cases = {figure.case for figure in found.figures}
    assert {case.endswith(swaps.HANGING) for case in cases} == {False, True}
    # The second table cannot be made; the first one's figures are there all the same.
    [line] = found.missing
    assert "0 rows" in line


def test_growth(place: Place) -> None:
    found = growth.measure(place, growth.Sizes((2_000, 4_000), 1), silent)
    assert {figure.what for figure in found.figures} == set(growth.UNITS)
    assert all(20 < figure.median < 400 for figure in found.figures if figure.unit == "MB")
    assert all(figure.median > 100 for figure in found.figures if figure.what in ("WAL", "disk written"))
    assert all(figure.median > 0.5 for figure in found.figures if figure.what == "additional disk at the peak")
    times = {figure.what: figure.median for figure in found.figures if figure.who == "4,000 rows"}
    assert 0 < times["time without ANALYZE"] < times["time"]
    [flat] = [ratio for ratio in found.ratios if ratio.aim is not None]
    assert (flat.who, flat.over, flat.aim) == ("4,000 rows", "2,000 rows", 1.1)


def test_what_the_server_wrote_is_what_was_written(place: Place) -> None:
    with place.connect() as conn:
        before = footprint.written(conn)
        conn.execute("CREATE TABLE filled AS SELECT repeat('x', 500) AS text FROM generate_series(1, 20000)")
        made = footprint.written(conn) - before
        size = conn.execute("SELECT pg_relation_size('filled')").fetchone()
        assert size is not None
        # Others use the server at the same time, so there may be more.
        assert made.pages >= int(str(size[0])) > 10_000_000
        assert made.wal > 0
        [folder, _] = footprint.folders(place, conn)
        conn.execute("CHECKPOINT")
        assert footprint.disk_of(folder) > int(str(size[0]))


def test_the_memory_of_a_process_and_of_those_it_started() -> None:
    hungry = "data = bytearray(60_000_000); data[::4096] = b'x' * len(data[::4096])"
    child = f"import time; {hungry}; print('there', flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        assert 60_000_000 < footprint.memory_of(process.pid) < 200_000_000
    finally:
        for one in reversed(list(footprint._family(process.pid))):
            subprocess.run(["kill", str(one)], check=True)
        process.wait()
    assert footprint.memory_of(process.pid) == 0


def test_a_case_that_fails_on_a_server_is_kept_as_not_measured(tmp_path: Path, place: Place) -> None:
    def fails(where: Place, say: object) -> Measured:
        raise RuntimeError("hyperferry start ended with 1:\nmore")

    assert run.run("growth", (place.release,), fails, keep=True, folder=tmp_path) is False
    [kept] = read(tmp_path)
    [settings] = kept.servers.values()
    assert settings["role"] == "superuser"
    assert settings["data_checksums"] == ("off" if place.title.startswith("PG 17") else "on")
    assert {"autovacuum", "default_statistics_target", "min_wal_size", "effective_cache_size", "wal_compression"} <= set(settings)
    [line] = kept.missing
    assert line.endswith("hyperferry start ended with 1:")
    assert place.timescaledb in line


def test_settings_are_kept_as_they_were_when_it_was_measured(tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def here(release: str) -> Iterator[Place]:
        yield place

    def sets_some(where: Place, say: object) -> Measured:
        with where.connect() as conn:
            conn.execute("ALTER SYSTEM SET default_statistics_target = 17")
            conn.execute("SELECT pg_reload_conf()")
        return Measured()

    monkeypatch.setattr(run, "place", here)
    try:
        run.run("growth", (place.release,), sets_some, keep=True, folder=tmp_path)
    finally:
        with place.connect() as conn:
            conn.execute("ALTER SYSTEM RESET default_statistics_target")
            conn.execute("SELECT pg_reload_conf()")
    [kept] = read(tmp_path)
    [settings] = kept.servers.values()
    assert settings["default_statistics_target"] == "17"


def test_all_cases_have_usual_and_quick_sizes() -> None:
    assert set(quick(1)) == set(usual(1)) == {"conversion", "feel", "capture", "apply", "swap", "growth"}
    assert {"all", "convert", "feel", "capture", "apply", "swap", "growth", "page"} == set(command.commands)


def test_the_longest_of_a_hundred_swaps_is_not_lost() -> None:
    found = stall.Outcome([stall.Swap("cutover", 1, 5.0, 0, float(n)) for n in range(100)] + [stall.Swap("rollback", 2, 5.0, 0, 1.0)])
    figures = {(f.who, f.what): f.values for f in swaps.figures_of("PG", found)}
    assert figures["cutover", "longest writer, max"] == (99.0,)
    assert figures["rollback", "most attempts"] == (2.0,)
