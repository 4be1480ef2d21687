"""The example under HTTP load through a whole rollout: no request fails, no acknowledged write is lost or doubled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.util import CommandError

from servers import Database
from under_load.clients import Sample
from under_load.journal import Journal, faults
from under_load.report import quantile, stages, table

from .conftest import EXAMPLE, TABLE, alembic


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the example's processes are POSIX ones")
def test_a_whole_rollout_without_a_failed_request(one_db: Database, tmp_path: Path) -> None:
    words = [
        "--rows",
        "20000",
        "--seconds",
        "2",
        "--rate",
        "40",
        "--clients",
        "4",
        "--dsn",
        one_db.server.dsn,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "under_load", *words], cwd=EXAMPLE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout)
    assert (result["passed"], result["failed_requests"], result["faults"]) == (True, 0, [])
    assert result["rows_before"] > 19_000
    assert result["acknowledged_rows"] > 500
    assert all(stage["requests"] > 10 and stage["writes"] and stage["reads"] for stage in result["stages"])
    assert [swap["command"] for swap in result["swaps"]] == ["cutover", "rollback", "cutover"]
    seen = {
        stage: (
            said["player_stats"],
            said["rollout"],
            said["use_hypertables"],
            said["reads_of_other_side"] > 0,
            said["revision"],
        )
        for stage, said in result["health"].items()
    }
    assert seen == {
        "before": ("table", None, "off", False, "0002"),
        "synced, flag on": ("table", "synced", "on", True, "0002"),
        "hypertable": ("hypertable", "cut_over", "on", False, "0003"),
        "hypertable, flag off": ("hypertable", "cut_over", "off", True, "0003"),
        "table again": ("table", "rolled_back", "off", False, "0003"),
        "after": ("hypertable", "finished", "on", False, "0004"),
    }, "where reads go, and what the application knows of it"


def test_the_journal_sees_what_is_lost_changed_doubled_or_new(one_db: Database) -> None:
    one_db.execute(TABLE)
    journal = Journal()
    rows = [
        {
            "player_id": 1,
            "game_id": 1_000_000_000 + i,
            "stat_type": "goals",
            "value": f"{i}.0",
            "game_date": f"2024-03-0{i}T10:00:00+01:00",
        }
        for i in range(1, 5)
    ]
    journal.written(rows)
    unsure = {**rows[0], "game_id": 1_000_000_009}
    journal.failed([unsure])
    with psycopg.connect(one_db.dsn, autocommit=True) as conn:

        def write(row: dict[str, Any], *, id: int | None = None) -> None:
            conn.execute(
                "INSERT INTO player_stats (id, player_id, game_id, stat_type, value, game_date) VALUES (coalesce(%s, "
                "nextval('player_stats_id_seq')), %s, %s, %s, %s, %s)",
                [id, *(row[name] for name in ("player_id", "game_id", "stat_type", "value", "game_date"))],
            )

        assert len(faults(conn, [journal])) == 4
        for row in rows:
            write(row)
        assert faults(conn, [journal]) == []
        write(unsure)
        assert faults(conn, [journal]) == [], "what was not acknowledged may be there or not"
        write({**rows[0], "game_id": 1_000_000_010})
        (found,) = faults(conn, [journal])
        assert found.startswith("there, and not acknowledged (so): 1, 1000000010")
        conn.execute("DELETE FROM player_stats WHERE game_id = 1000000010")
        conn.execute("UPDATE player_stats SET value = 7 WHERE game_id = 1000000002")
        assert len(faults(conn, [journal])) == 2
        conn.execute("UPDATE player_stats SET value = 2 WHERE game_id = 1000000002")
        conn.execute(
            "ALTER TABLE player_stats DROP CONSTRAINT player_stats_pkey, DROP CONSTRAINT player_stats_natural_key"
        )
        write(rows[3], id=1)
        assert sorted(line.partition(":")[0] for line in faults(conn, [journal])) == [
            "an id that is there twice",
            "there, and not acknowledged (so)",
        ]


def test_the_report_counts_failures_and_ranks_latency() -> None:
    assert [quantile([1, 2, 3, 4], share) for share in (0.25, 0.5, 0.51, 1.0)] == [1, 2, 3, 4]
    samples = [Sample("before", "read", float(ms), None) for ms in range(1, 101)]
    samples += [Sample("cutover", "write", 5.0, None), Sample("cutover", "write", 900.0, "500")]
    before, cutover = stages(samples)
    assert (before["requests"], before["failed"], before["writes"]) == (100, 0, None)
    assert before["reads"] == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "longest": 100.0}
    assert (cutover["failed"], cutover["writes"]["longest"]) == (1, 900.0)
    assert "900.0" in table([before, cutover])


def test_the_migrations_wait_for_the_rollout_of_a_large_table(one_db: Database) -> None:
    alembic(one_db, "upgrade", "0002")
    one_db.execute(
        "INSERT INTO players VALUES (1, 'Ada'); INSERT INTO player_stats (player_id, game_id, stat_type, value, game_date) "
        "SELECT 1, i, 'goals', i, now() - i * interval '1 minute' FROM generate_series(1, 10001) AS i"
    )
    with pytest.raises(CommandError, match="hyperferry start"):
        alembic(one_db, "upgrade", "head")
    assert one_db.execute("SELECT version_num FROM alembic_version") == [("0002",)]
    one_db.execute("DELETE FROM player_stats WHERE game_id > 10000")
    for _ in range(2):
        alembic(one_db, "upgrade", "head")
        assert "No new upgrade operations" in alembic(one_db, "check")
        alembic(one_db, "downgrade", "base")
    assert one_db.execute("SELECT to_regclass('player_stats')") == [(None,)]
