"""A rehearsal of a table, in a database made for it on the test's own server unless the test wants a sandbox."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from rehearsal_support import Rehearse, rehearsals

from hyperferry.rehearsal import RehearsalOptions, RehearsalReport, rehearse
from servers import Database

SCHEMA = """
SELECT n.nspname, c.relname, c.relkind, c.relowner, c.relacl::text, c.oid, c.relfilenode FROM pg_class c JOIN pg_namespace n
ON n.oid = c.relnamespace WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT LIKE '\\_timescale%' ORDER BY 1, 2
"""
WRITTEN = """
SELECT schemaname, relname, n_tup_ins, n_tup_upd, n_tup_del, n_live_tup FROM pg_stat_user_tables
WHERE schemaname NOT LIKE '\\_timescale%' ORDER BY 1, 2
"""


def _until_alone(db: Database) -> None:
    """Returns when every other session has ended: then it has reported what it wrote."""
    others = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    end = time.monotonic() + 60
    while db.execute(others):
        assert time.monotonic() < end, "somebody stays connected"
        time.sleep(0.01)


@pytest.fixture
def rehearsed(db: Database) -> Iterator[Rehearse]:
    """`rehearsed("t", "at")`: its report. At the end: nothing of any rehearsal is left, and the table's database is as it was."""
    before: list[Any] = []

    def run(table: str = "t", time: str = "at", role: str | None = None, **more: Any) -> RehearsalReport:
        _until_alone(db)
        before[:] = [db.execute(SCHEMA), db.execute(WRITTEN)]
        more.setdefault("given", db.server.dsn)
        return rehearse(RehearsalOptions(db.dsn_as(role), table, time, **more))

    yield run
    assert before, "the test rehearsed nothing"
    _until_alone(db)
    assert [db.execute(SCHEMA), db.execute(WRITTEN)] == before
    assert rehearsals(db) == []
