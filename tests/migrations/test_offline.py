"""Scripts that a DBA reads and runs by psql: the same outcome as online, and the guard at run time."""

from __future__ import annotations

from typing import Any

from .conftest import Place
from .test_operations import made


def all_of_it(op: Any) -> None:
    made(op)
    op.create_hypertable_index(
        "by type", "player_stats", ["stat_type", "game_date DESC"], where="stat_type <> 'a:b %s'"
    )
    op.set_chunk_interval("player_stats", "14 days")
    op.add_compression("player_stats", segment_by=["player_id"], after="30 days", skip_on_apache=True)
    op.add_retention("player_stats", "20 years", skip_on_apache=True)
    op.require_rollout("player_stats")


def test_a_script_comes_to_what_the_operations_come_to(place: Place) -> None:
    script = place.script(all_of_it)
    for _ in range(2):
        done = place.psql(script)
        assert done.returncode == 0, done.stderr
    by_script = place.state()
    place.db.execute("DROP TABLE player_stats")
    from .conftest import TABLE

    place.db.execute(TABLE)
    place.run(all_of_it)
    assert place.state() == by_script
    back = place.script(lambda op: op.revert_hypertable("player_stats"))
    assert place.psql(back).returncode == 0
    assert place.state()[1] == []


def test_the_guard_of_a_script_looks_when_it_runs(place: Place) -> None:
    def small(op: Any) -> None:
        op.create_hypertable("player_stats", "game_date", primary_key=["id", "game_date"], max_rows=1_000)

    script = place.script(small)
    done = place.psql(script)
    assert done.returncode != 0
    assert "has more than 1000 rows" in done.stderr
    assert "SET hyperferry.force_player_stats_ht = 1" in done.stderr
    assert place.state()[1] == []
    assert place.psql(script, "SET hyperferry.force_player_stats_ht = 0;").returncode != 0
    assert place.psql(script, "SET hyperferry.force_player_stats_ht = 1;").returncode == 0
    assert place.state()[1]
    place.run(lambda op: op.revert_hypertable("player_stats"))
    assert place.psql(place.script(small, FORCE_PLAYER_STATS_HT="1")).returncode == 0, "written by who may"
    place.run(lambda op: op.revert_hypertable("player_stats"))
    place.db.execute("DELETE FROM player_stats WHERE id > 1000")
    assert place.psql(script).returncode == 0, "a database with few rows needs nobody's leave"
