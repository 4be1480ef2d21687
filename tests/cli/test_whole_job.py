"""The main job as a user runs it, command by command, and the JSON that other programs rely on."""

from __future__ import annotations

from pathlib import Path

from servers import Database

from .conftest import Hyperferry, dump, rows

STATUS = {
    "table",
    "phase",
    "strategy",
    "rows_copied",
    "rows_estimated",
    "backlog",
    "rows_per_second",
    "eta_seconds",
    "throttled_by",
}
SWAP = {"table", "phase", "attempts", "stall_ms", "changes_under_lock"}


def is_hypertable(db: Database) -> bool:
    """What TimescaleDB says of the application's table."""
    return db.execute(
        "SELECT count(*) FROM timescaledb_information.hypertables "
        "WHERE (hypertable_schema, hypertable_name) = ('public', 'player_stats')"
    ) == [(1,)]


def test_there_and_back_and_there_again(hyperferry: Hyperferry, stats: Database, tmp_path: Path) -> None:
    file = str(tmp_path / "stats.plan.json")

    looked = hyperferry("preflight", "player_stats", "--time", "game_date", "--json", dsn=stats.dsn)
    assert looked.code == 0
    assert looked.json.keys() >= {"table", "findings", "blocked"}
    assert looked.json["table"] == "public.player_stats"
    assert looked.json["blocked"] is False
    for finding in looked.json["findings"]:
        assert finding.keys() >= {"rule", "level", "message", "remedy"}
        assert finding["level"] in {"blocker", "warning", "note"}
    assert looked.json["accepts_needed"] == ["widened-key"]

    planned = hyperferry(
        "plan", "player_stats", "--time", "game_date", "--out", file, "--sql", "--json", dsn=stats.dsn
    )
    assert planned.code == 0
    assert planned.json["out"] == file
    assert any("create_hypertable" in each["sql"] for each in planned.json["statements"])
    assert stats.execute("SELECT to_regnamespace('hyperferry')") == [(None,)]

    started = hyperferry("start", file, "--json", dsn=stats.dsn)
    assert started.code == 0, started.stderr
    assert started.json.keys() >= STATUS
    assert (started.json["phase"], started.json["rows_copied"]) == ("synced", 3000)

    stats.execute(
        "UPDATE player_stats SET value = value + 1 WHERE id % 100 = 0; DELETE FROM player_stats WHERE id = 7"
    )
    again = hyperferry("start", file, dsn=stats.dsn)
    assert again.code == 0
    assert "public.player_stats synced" in again.stdout

    verified = hyperferry("verify", "player_stats", "--by", "stat_type", "--json", dsn=stats.dsn)
    assert verified.code == 0
    assert verified.json["match"] is True
    assert verified.json["source_rows"] == verified.json["target_rows"] == 2999
    assert verified.json["differences"] == []
    assert all(
        each.keys() >= {"from", "to", "source_rows", "target_rows", "match"}
        for each in verified.json["ranges"]
    )
    assert len(verified.json["groups"]) == 5

    dry = hyperferry(
        "cutover", "player_stats", "--dry-run", "--accept", "widened-key", "--json", dsn=stats.dsn
    )
    assert dry.code == 0, dry.stdout
    assert dry.json.keys() >= {"table", "statements", "blockers", "refusals"}
    assert not is_hypertable(stats)
    assert hyperferry("cutover", "player_stats", "--dry-run", dsn=stats.dsn).code == 3

    over = hyperferry("cutover", "player_stats", "--accept", "widened-key", "--json", dsn=stats.dsn)
    assert over.code == 0, over.stderr
    assert over.json.keys() >= SWAP
    assert (over.json["table"], over.json["phase"]) == ("public.player_stats", "cut_over")
    assert is_hypertable(stats)

    stats.execute(
        "INSERT INTO player_stats (player_id, stat_type, value, game_date) VALUES (1, 'new', 1, now())"
    )
    synced = hyperferry("sync", "player_stats", "--until-empty", "--json", dsn=stats.dsn)
    assert (synced.code, synced.json["backlog"]) == (0, 0)

    stats.execute("DELETE FROM player_stats WHERE id = 8")
    before = rows(stats)
    back = hyperferry("rollback", "player_stats", "--json", dsn=stats.dsn)
    assert back.code == 0, back.stderr
    assert back.json.keys() >= SWAP
    assert not is_hypertable(stats)
    assert rows(stats) == before

    assert hyperferry("cutover", "player_stats", "--accept", "all", dsn=stats.dsn).code == 0
    finished = hyperferry("finish", "player_stats", "--confirm", "player_stats", "--json", dsn=stats.dsn)
    assert (finished.code, finished.json["phase"]) == (0, "finished")
    assert is_hypertable(stats)
    assert rows(stats) == before
    known = hyperferry("status", "--json", dsn=stats.dsn)
    assert [each["phase"] for each in known.json["rollouts"]] == ["finished"]


def test_abort_leaves_the_table_as_it_was_found(hyperferry: Hyperferry, stats: Database) -> None:
    before = dump(stats)
    assert hyperferry("start", "player_stats", "--time", "game_date", dsn=stats.dsn).code == 0
    assert dump(stats, "--exclude-schema=hyperferry") != before
    aborted = hyperferry("abort", "player_stats", "--json", dsn=stats.dsn)
    assert (aborted.code, aborted.json["phase"]) == (0, "aborted")
    assert dump(stats, "--exclude-schema=hyperferry") == before


def test_a_paused_rollout_says_so(hyperferry: Hyperferry, synced: Database) -> None:
    paused = hyperferry("pause", "player_stats", "--json", dsn=synced.dsn)
    assert (paused.code, paused.json["throttled_by"]) == (0, "paused")
    assert "paused" in hyperferry("status", "player_stats", dsn=synced.dsn).stdout
    resumed = hyperferry("resume", "player_stats", "--json", dsn=synced.dsn)
    assert (resumed.code, resumed.json["throttled_by"]) == (0, None)


def test_a_difference_is_found_shown_and_repaired(hyperferry: Hyperferry, synced: Database) -> None:
    synced.execute("UPDATE hyperferry_new_1.player_stats SET value = -1 WHERE id = 5")
    found = hyperferry("verify", "player_stats", "--json", dsn=synced.dsn)
    assert found.code == 3
    assert (found.json["match"], found.json["difference_count"]) == (False, 1)
    assert found.json["differences"][0]["pair"]["id"] == "5"
    assert "id = 5" in hyperferry("verify", "player_stats", dsn=synced.dsn).stdout
    assert hyperferry("verify", "player_stats", "--repair", dsn=synced.dsn).code == 0
    assert hyperferry("verify", "player_stats", dsn=synced.dsn).code == 0


def test_a_small_table_is_converted_in_place(hyperferry: Hyperferry, stats: Database) -> None:
    before = rows(stats)
    words = ("start", "player_stats", "--time", "game_date", "--strategy", "in-place", "--json")
    refused = hyperferry(*words, dsn=stats.dsn)
    assert refused.code == 3, "there is no cutover that could ask"
    assert "--accept widened-key" in refused.stdout
    assert not is_hypertable(stats)
    ran = hyperferry(*words, "--accept", "widened-key", dsn=stats.dsn)
    assert ran.code == 0, ran.stderr
    assert (ran.json["phase"], ran.json["strategy"]) == ("finished", "in-place")
    assert is_hypertable(stats)
    assert rows(stats) == before


def test_the_file_stands_in_for_options(hyperferry: Hyperferry, stats: Database, tmp_path: Path) -> None:
    (tmp_path / "hyperferry.toml").write_text(
        'table = "player_stats"\ntime_column = "game_date"\nchunk_interval = "14 days"\naccept = ["widened-key"]\n'
    )
    planned = hyperferry("plan", "--json", dsn=stats.dsn)
    assert planned.code == 0, planned.stderr
    assert "14 days" in planned.json["chunk_interval"]
    assert (
        "3 days"
        in hyperferry("plan", "--chunk-interval", "3 days", "--json", dsn=stats.dsn).json["chunk_interval"]
    )
    assert hyperferry("start", dsn=stats.dsn).code == 0
    assert hyperferry("cutover", dsn=stats.dsn).code == 0
    assert is_hypertable(stats)


def test_an_awkward_name_goes_through_every_command(hyperferry: Hyperferry, db: Database) -> None:
    name = '"Odd.Schema"."stats ; \'\x1b[31m%s"'
    db.execute('CREATE SCHEMA "Odd.Schema"')
    db.execute(f'CREATE TABLE {name} ("Key" int PRIMARY KEY, "When ?" timestamptz NOT NULL)')
    db.execute(
        f"INSERT INTO {name} SELECT i, timestamptz '2024-01-01' + i * interval '1 hour' FROM generate_series(1, 99) i"
    )
    for command in (
        ["preflight", name, "--time", "When ?"],
        ["start", name, "--time", "When ?"],
        ["status", name],
        ["verify", name, "--by", "Key"],
        ["cutover", name, "--accept", "all"],
        ["rollback", name],
        ["cutover", name, "--accept", "all"],
        ["finish", name, "--confirm", name],
    ):
        ran = hyperferry(*command, dsn=db.dsn)
        assert ran.code == 0, ran
        assert "\x1b" not in ran.stdout + ran.stderr
