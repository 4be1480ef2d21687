"""The server's facts that are not a plain setting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hyperferry.catalog.server import cores_by_file, server_facts
from hyperferry.db import at_most, connect, fetch_value
from servers import Database


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no Linux: the server has no such file")
def test_cores_are_read_where_they_may_be(db: Database) -> None:
    """As from another machine: here they are known anyway."""
    role, reader = db.make_role(), db.make_role()
    db.execute(
        f'GRANT pg_read_server_files TO "{reader}"; GRANT EXECUTE ON FUNCTION pg_read_file(text) TO "{reader}"'
    )
    named = Path("/proc/cpuinfo").read_text("utf-8").count("processor\t:")
    with connect(db.dsn, purpose="test") as conn:
        assert cores_by_file(conn) == (named or None)
        assert server_facts(conn).cores == os.cpu_count()
    with connect(db.dsn_as(reader), purpose="test") as conn:
        assert cores_by_file(conn) == (named or None)
    with connect(db.dsn_as(role), purpose="test") as conn:
        assert cores_by_file(conn) is None


def test_a_setting_is_lowered_never_raised(db: Database) -> None:
    with connect(db.dsn, purpose="test") as conn:
        for own, most, now in ((2, 0, 0), (2, 5, 2), (0, 3, 0), (2, 999_999, 2)):
            conn.execute(f"SET max_parallel_workers_per_gather = {own}")
            with conn.transaction():
                at_most(conn, "max_parallel_workers_per_gather", most)
                assert fetch_value(conn, "SHOW max_parallel_workers_per_gather") == str(now)
            assert fetch_value(conn, "SHOW max_parallel_workers_per_gather") == str(own)
