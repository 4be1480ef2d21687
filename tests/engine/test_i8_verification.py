"""I8: verification is exact while writers run: what differs is found and shown by pair, what does not differ is not."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from swap_support import (
    SMALL,
    Ready,
    insert,
    ready_fixture,  # noqa: F401
    refused,
    same_after_sync,
    templates_fixture,  # noqa: F401
)

from hyperferry import engine
from hyperferry.errors import Refused


def pairs(report: Any) -> dict[str, str]:
    """id -> kind of difference."""
    return {difference.pair["id"]: difference.kind for difference in report.differences}


PLANTED = {
    "missing": "DELETE FROM {passive} WHERE id = 5",
    "extra": "INSERT INTO {passive} (id, at, v) VALUES (5000, '2024-02-02', 1)",
    "extra before all": "INSERT INTO {passive} (id, at) VALUES (5001, '1999-01-01')",
    "extra after all": "INSERT INTO {passive} (id, at) VALUES (5002, '2099-01-01')",
    "value": "UPDATE {passive} SET n = n + 1 WHERE id = 6",
    "scale": "UPDATE {passive} SET v = 1.00 WHERE id = 21",
    "null": "UPDATE {passive} SET note = NULL WHERE id = 7",
    "empty": "UPDATE {passive} SET note = '' WHERE id = 8",
    "time": "UPDATE {passive} SET at = at + interval '1 microsecond' WHERE id = 9",
}
"""Changes of one side that nobody wrote through the application's name."""
FOUND = {"5": "missing", "5000": "extra", "5001": "extra", "5002": "extra", "6": "different", "21": "different", "7": "different",
         "8": "different"}  # fmt: skip


@pytest.mark.parametrize("way", ["forward", "reverse"])
def test_every_planted_difference_is_found_and_repaired_only_when_asked(ready: Ready, way: str) -> None:
    """In the hypertable before the cutover, in the plain table after it; while a writer writes."""
    job = ready()
    passive = "{shadow}"
    if way == "reverse":
        job.cutover()
        passive = "{source}"
    assert job.value("SELECT v::text FROM {table} WHERE id = 21") == "1"
    for statement in PLANTED.values():
        job.run(statement.replace("{passive}", passive))
    stop = threading.Event()

    def write() -> None:
        with job.db.connect() as conn:
            while not stop.wait(0.03):
                conn.execute("UPDATE t SET v = v + 1 WHERE id = 300 + (random() * 90)::int")
                conn.execute("INSERT INTO t (at, n) VALUES ('2024-02-25', 3)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2):
            report = job.verify()
            assert not report.match
            found = pairs(report)
            nine = [d.kind for d in report.differences if d.pair["id"] == "9"]
            assert {key: kind for key, kind in found.items() if key != "9"} == FOUND
            assert sorted(nine) == ["extra", "missing"], "another time is another pair"
            assert report.difference_count == len(FOUND) + 2
        assert not job.status().verified_match
        report = job.verify(repair=True)
        assert report.match, report.differences
        assert report.repaired >= len(FOUND) + 2
    finally:
        stop.set()
        writer.join()
    same_after_sync(job)


def test_no_difference_is_made_up_while_many_write(ready: Ready) -> None:
    """Inserts, updates of values and of the time, deletes, in READ COMMITTED and REPEATABLE READ: match, every time."""
    job = ready()
    stop = threading.Event()
    errors: list[str] = []
    statements = [
        "INSERT INTO t (at, n, v) SELECT '2024-01-01'::timestamptz + random() * interval '50 days', 1, 1 "
        "FROM generate_series(1, 5)",
        "UPDATE t SET v = v + 0.10, at = at + interval '10 days' WHERE id %% 40 = (random() * 39)::int",
        "DELETE FROM t WHERE id = (SELECT max(id) FROM t)",
        "UPDATE t SET at = at - interval '10 days' WHERE id %% 40 = (random() * 39)::int",
    ]

    def write(isolation: psycopg.IsolationLevel) -> None:
        with psycopg.connect(job.db.dsn) as conn:
            conn.isolation_level = isolation
            number = 0
            while not stop.wait(0.02):
                number += 1
                try:
                    conn.execute(statements[number % len(statements)].replace("%%", "%"))
                    conn.commit()
                except psycopg.Error as error:
                    conn.rollback()
                    if error.sqlstate not in ("40001", "40P01"):
                        errors.append(str(error))

    levels = (psycopg.IsolationLevel.READ_COMMITTED, psycopg.IsolationLevel.REPEATABLE_READ)
    writers = [threading.Thread(target=write, args=(level,)) for level in levels]
    for writer in writers:
        writer.start()
    try:
        reports = [job.verify() for _ in range(2)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not errors
    assert [report.match for report in reports] == [True] * 2, [report.differences[:3] for report in reports]
    assert [report.repaired for report in reports] == [0] * 2
    same_after_sync(job)


def test_a_difference_is_not_hidden_by_a_change_that_stands_in_the_backlog(ready: Ready) -> None:
    """Excused at first, looked at again once it is applied; another row's change excuses nobody."""
    job = ready()
    job.run("UPDATE {shadow} SET v = 77 WHERE id IN (30, 31)")
    job.run("UPDATE t SET n = 5 WHERE id = 30")
    report = job.verify()
    assert pairs(report) == {"31": "different"}, "30 was mended by the change that was applied"
    assert report.difference_count == 1


def test_equal_rows_without_a_key_are_counted(ready: Ready) -> None:
    """{a, a, b} and {a, b, b}, {a, b, b} and {b, b, b}: the same values, the same number of rows."""
    job = ready(
        "CREATE TABLE t (id integer, at timestamptz NOT NULL, v numeric); CREATE INDEX ON t (at); "
        "INSERT INTO t SELECT i % 2, timestamptz '2024-01-01' + (i / 4) * interval '1 day', 1 FROM generate_series(0, 99) AS i"
    )
    job.run(
        "UPDATE {shadow} SET id = 0 WHERE at = '2024-01-01' AND ctid = "
        "(SELECT min(ctid) FROM {shadow} WHERE id = 1 AND at = '2024-01-01')"
    )
    report = job.verify()
    assert not report.match
    assert report.source_rows == report.target_rows == 100
    assert report.difference_count == 2
    assert job.verify(repair=True).match
    job.assert_equal()


def test_a_table_under_forced_row_security_is_read_as_a_whole(ready: Ready) -> None:
    """Or half of it would be compared, and found the same."""
    job = ready(
        SMALL + "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY; "
        "CREATE POLICY half ON t USING (id % 2 = 0);"
    )
    report = job.verify()
    assert report.source_rows == report.target_rows == 400
    job.run("DELETE FROM {shadow} WHERE id = 11")
    assert pairs(job.verify()) == {"11": "missing"}


def test_by_adds_counts_and_sums_for_each_group(ready: Ready) -> None:
    job = ready()
    report = job.verify(by="n")
    assert [group.group for group in report.groups] == [str(n) for n in range(7)]
    assert all(group.match for group in report.groups)
    assert sum(group.source_rows for group in report.groups) == 400
    job.run("UPDATE {shadow} SET v = v + 1 WHERE id = 7")
    groups = {group.group: group.match for group in job.verify(by="n").groups}
    assert groups == {"0": False} | {str(n): True for n in range(1, 7)}


def test_a_repair_changes_the_passive_side_alone(ready: Ready) -> None:
    """The table of record is never written to, whatever differs."""
    job = ready()
    before = job.run("SELECT sum(hashtextextended(t::text, 0)), max(xmin::text::bigint) FROM {source} AS t")
    job.run("UPDATE {shadow} SET v = 5 WHERE id < 50")
    job.run("DELETE FROM {shadow} WHERE id > 390")
    job.verify(repair=True)
    assert (
        job.run("SELECT sum(hashtextextended(t::text, 0)), max(xmin::text::bigint) FROM {source} AS t")
        == before
    )
    job.assert_equal()


def test_a_stopped_verification_records_nothing(ready: Ready) -> None:
    from hyperferry.errors import Interrupted

    job = ready()
    stop = threading.Event()
    stop.set()
    before = job.value("SELECT count(*) FROM hyperferry.verification")
    with pytest.raises(Interrupted):
        engine.verify(job.db.dsn, "t", stop=stop)
    assert job.value("SELECT count(*) FROM hyperferry.verification") == before


def test_pairs_that_cannot_be_taken_are_no_match(ready: Ready) -> None:
    job = ready()
    job.cutover()
    job.run("INSERT INTO t (id, at) VALUES (7, '2024-03-03')")
    insert(job)
    report = job.verify()
    assert not report.match
    assert report.quarantined >= 1
    with refused(job, Refused):
        job.rollback()
