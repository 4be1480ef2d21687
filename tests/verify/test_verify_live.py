"""A verification while writers write and an applier applies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from hyperferry.apply import Applier
from hyperferry.db import connect
from kit import oracle, tables
from kit.writers import Fleet

Make = Callable[..., Any]


def test_writers_do_not_disturb_a_verification_nor_it_them(lab: Make) -> None:
    one = lab(tables.player_stats, rows=20_000)
    fleet = Fleet(one.db.dsn, one.table, rate=300)
    ended = threading.Event()

    def apply_on_and_on() -> None:
        with connect(one.db.dsn, purpose="apply") as conn:
            applier = Applier(conn, one.flow)
            while not ended.wait(0.2):
                applier.drain(pending_batches=False)

    with one.db.connect() as owner, fleet.start(owner):
        applying = threading.Thread(target=apply_on_and_on)
        applying.start()
        try:
            reports = [one.verify(apply_backlog=one.apply, by=by) for by in (None, "stat_type", None)]
        finally:
            ended.set()
            applying.join()
    for report in reports:
        assert (report.match, report.difference_count) == (True, 0)
        assert all(group.match for group in report.groups)
    one.apply()
    last = one.verify()
    assert (last.match, last.excused) == (True, 0)
    with one.db.connect() as conn:
        oracle.assert_same_rows(conn, one.flow.active.ident, one.flow.passive.ident, one.table.columns)
        fleet.check(conn)
    assert fleet.operations["update_time_across_chunks"] > 0
