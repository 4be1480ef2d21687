"""Wrong input of every command: the exit code, the message, the JSON, and a database that is as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from servers import Database, drop_database, make_database

from .conftest import TABLE, Hyperferry, Ran, dump

ON_A_TABLE: dict[str, tuple[str, ...]] = {
    "preflight": ("--time", "game_date"),
    "plan": ("--time", "game_date"),
    "start": ("--time", "game_date"),
    "sync": (),
    "status": (),
    "pause": (),
    "resume": (),
    "throttle": (),
    "verify": (),
    "bench": (),
    "cutover": (),
    "rollback": (),
    "finish": ("--confirm",),
    "abort": (),
}
"""Every command that takes a table, with what it needs besides."""

NEEDS_A_ROLLOUT = ("sync", "pause", "resume", "throttle", "verify", "cutover", "rollback", "finish", "abort")


def on(command: str, table: str) -> list[str]:
    """The command line of a command on this table."""
    rest = [*ON_A_TABLE[command], table] if command == "finish" else list(ON_A_TABLE[command])
    return [command, table, *rest]


def assert_failure(ran: Ran, code: int, *words: str) -> None:
    """The exit code, and one JSON object that says what happened; the same in words on stderr, without a trace."""
    assert ran.code == code, ran
    value = ran.json
    assert set(value) == {"error", "facts", "remedy", "exit_code"}
    assert value["exit_code"] == code
    assert value["error"]
    assert value["remedy"]
    said = json.dumps(value, ensure_ascii=False)
    for word in words:
        assert word in said
        assert word in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "fault of its own" not in ran.stderr


@pytest.mark.parametrize("command", ON_A_TABLE)
def test_a_server_that_is_dead_fails_and_keeps_the_password(hyperferry: Hyperferry, command: str) -> None:
    ran = hyperferry(*on(command, "t"), "--json", dsn="postgresql://u:s3cret@127.0.0.1:1/x")
    assert_failure(ran, 1, "Cannot connect")
    assert "s3cret" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("command", ON_A_TABLE)
def test_a_table_that_is_not_there(hyperferry: Hyperferry, unchanged: Database, command: str) -> None:
    assert_failure(hyperferry(*on(command, "player_statz"), "--json", dsn=unchanged.dsn), 2, "player_statz")


@pytest.mark.parametrize("command", [each for each in ON_A_TABLE if each != "status"])
def test_no_table_at_all(hyperferry: Hyperferry, command: str) -> None:
    rest = [*ON_A_TABLE[command], "t"] if command == "finish" else list(ON_A_TABLE[command])
    assert_failure(hyperferry(command, *rest, "--json"), 2, "No table was named", "hyperferry.toml")


@pytest.mark.parametrize("command", [*ON_A_TABLE, "demo"])
def test_an_option_that_does_not_exist(hyperferry: Hyperferry, command: str) -> None:
    assert_failure(
        hyperferry(command, "--no-such-option", "--json"), 2, "--no-such-option", f"{command} --help"
    )


def test_a_command_that_does_not_exist(hyperferry: Hyperferry) -> None:
    assert_failure(hyperferry("migrate", "--json"), 2, "migrate")


@pytest.mark.parametrize("command", ["preflight", "plan", "start"])
def test_no_time_column_was_named(hyperferry: Hyperferry, unchanged: Database, command: str) -> None:
    ran = hyperferry(command, "player_stats", "--json", dsn=unchanged.dsn)
    assert_failure(ran, 2, "No time column was named", "--time COLUMN")


@pytest.mark.parametrize("command", ["plan", "start"])
@pytest.mark.parametrize(
    ("make", "table", "time", "rule"),
    [
        ("SELECT 1", "player_totals", "total", "relation-kind"),
        ("SELECT 1", "player_stats", "kick_off", "time-column-missing"),
        ("SELECT 1", "player_stats", "stat_type", "time-column-type"),
        (
            "CREATE TABLE late (id int PRIMARY KEY, t timestamptz); INSERT INTO late VALUES (1, now()), (2, NULL)",
            "late",
            "t",
            "null-times",
        ),
    ],
    ids=["a view", "no such column", "a text column", "NULL times"],
)
def test_what_preflight_blocks_is_not_begun(
    hyperferry: Hyperferry, stats: Database, command: str, make: str, table: str, time: str, rule: str
) -> None:
    stats.execute(make)
    ran = hyperferry(command, table, "--time", time, "--json", dsn=stats.dsn)
    assert_failure(ran, 3, rule)
    assert stats.execute("SELECT to_regnamespace('hyperferry')") == [(None,)]
    shown = hyperferry("preflight", table, "--time", time, "--json", dsn=stats.dsn)
    assert shown.code == 3
    assert shown.json["blocked"] is True
    assert rule in [each["rule"] for each in shown.json["findings"] if each["level"] == "blocker"]


def test_a_role_without_rights_is_told_what_to_grant(hyperferry: Hyperferry, unchanged: Database) -> None:
    dsn = unchanged.dsn_as(unchanged.make_role())
    ran = hyperferry("start", "player_stats", "--time", "game_date", "--json", dsn=dsn)
    assert_failure(ran, 3, "missing-rights", "GRANT CREATE ON DATABASE")


@pytest.mark.parametrize("interval", ["a while", "0 days", "-1 day", "1 day; DROP TABLE player_stats"])
def test_an_interval_that_is_none(hyperferry: Hyperferry, unchanged: Database, interval: str) -> None:
    ran = hyperferry(
        "plan",
        "player_stats",
        "--time",
        "game_date",
        f"--chunk-interval={interval}",
        "--json",
        dsn=unchanged.dsn,
    )
    assert_failure(ran, 2, "7 days")


@pytest.mark.parametrize("command", NEEDS_A_ROLLOUT)
def test_a_command_before_its_time(hyperferry: Hyperferry, unchanged: Database, command: str) -> None:
    assert_failure(
        hyperferry(*on(command, "player_stats"), "--json", dsn=unchanged.dsn), 3, "There is no rollout"
    )


def test_the_status_of_a_table_without_a_rollout(hyperferry: Hyperferry, unchanged: Database) -> None:
    assert_failure(
        hyperferry("status", "player_stats", "--json", dsn=unchanged.dsn), 1, "There is no rollout"
    )


@pytest.mark.parametrize("confirm", [[], ["--confirm", "player_state"], ["--confirm", "other.player_stats"]])
def test_finish_wants_the_name_again(hyperferry: Hyperferry, synced: Database, confirm: list[str]) -> None:
    assert hyperferry("cutover", "player_stats", "--accept", "all", dsn=synced.dsn).code == 0
    before = dump(synced)
    ran = hyperferry("finish", "public.player_stats", *confirm, "--json", dsn=synced.dsn)
    assert_failure(ran, 3, "was not confirmed", "--confirm public.player_stats")
    assert dump(synced) == before


def test_a_cutover_wants_each_change_accepted(hyperferry: Hyperferry, synced: Database) -> None:
    before = dump(synced)
    ran = hyperferry("cutover", "player_stats", "--json", dsn=synced.dsn)
    assert_failure(ran, 3, "widened-key", "--accept widened-key")
    assert dump(synced) == before


def test_accepting_what_does_not_exist(hyperferry: Hyperferry, unchanged: Database) -> None:
    ran = hyperferry("cutover", "player_stats", "--accept", "wider-key", "--json", dsn=unchanged.dsn)
    assert_failure(ran, 2, "did you mean widened-key?")


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        (None, 2, "There is no plan file"),
        ("", 3, "plan file"),
        ("{", 3, "plan file"),
        ("[1, 2]", 3, "not a plan"),
        ("\0\xff", 2, "cannot be read"),
    ],
    ids=["absent", "empty", "cut off", "something else", "bytes"],
)
def test_a_plan_file_that_is_none(
    hyperferry: Hyperferry, unchanged: Database, tmp_path: Path, text: str | None, code: int, word: str
) -> None:
    file = tmp_path / "stats.plan.json"
    if text is not None:
        file.write_bytes(text.encode("latin-1"))
    assert_failure(hyperferry("start", str(file), "--json", dsn=unchanged.dsn), code, word)


def test_a_plan_that_was_edited(hyperferry: Hyperferry, unchanged: Database, tmp_path: Path) -> None:
    file = tmp_path / "stats.plan.json"
    made = hyperferry("plan", "player_stats", "--time", "game_date", "--out", str(file), dsn=unchanged.dsn)
    assert made.code == 0, made.stderr
    file.write_text(file.read_text("utf-8").replace('"batch_rows": 50000', '"batch_rows": 7'), "utf-8")
    assert_failure(hyperferry("start", str(file), "--json", dsn=unchanged.dsn), 3, "was changed after")


def test_a_plan_that_is_stale(hyperferry: Hyperferry, stats: Database, tmp_path: Path) -> None:
    file = tmp_path / "stats.plan.json"
    made = hyperferry("plan", "player_stats", "--time", "game_date", "--out", str(file), dsn=stats.dsn)
    assert made.code == 0, made.stderr
    stats.execute("ALTER TABLE player_stats ADD COLUMN note text")
    before = dump(stats)
    assert_failure(hyperferry("start", str(file), "--json", dsn=stats.dsn), 3, "stale")
    assert dump(stats) == before


def test_a_plan_of_another_database(hyperferry: Hyperferry, unchanged: Database, tmp_path: Path) -> None:
    """Staging's table is the same in every word."""
    staging = make_database(unchanged.server)
    try:
        staging.execute(TABLE)
        file = tmp_path / "stats.plan.json"
        made = hyperferry("plan", "player_stats", "--time", "game_date", "--out", str(file), dsn=staging.dsn)
        assert made.code == 0, made.stderr
        assert_failure(hyperferry("start", str(file), "--json", dsn=unchanged.dsn), 3, "another database", "oid was")
        assert hyperferry("start", str(file), dsn=staging.dsn).code == 0
    finally:
        drop_database(staging)


def test_a_plan_that_is_not_the_one_under_way(hyperferry: Hyperferry, stats: Database, tmp_path: Path) -> None:
    one, other = str(tmp_path / "one.plan.json"), str(tmp_path / "other.plan.json")
    wishes = ("player_stats", "--time", "game_date", "--workers")
    assert hyperferry("plan", *wishes, "1", "--out", one, dsn=stats.dsn).code == 0
    assert hyperferry("plan", *wishes, "2", "--chunk-interval", "3 days", "--out", other, dsn=stats.dsn).code == 0
    assert hyperferry("start", one, dsn=stats.dsn).code == 0
    before = dump(stats)
    refused = hyperferry("start", other, "--json", dsn=stats.dsn)
    assert_failure(refused, 3, "decides otherwise", "3 days", "under way 1, in this plan 2", "start public.player_stats")
    assert dump(stats) == before
    assert hyperferry("start", one, dsn=stats.dsn).code == 0
    assert hyperferry("start", "player_stats", dsn=stats.dsn).code == 0


def test_options_cannot_change_a_plan(hyperferry: Hyperferry, unchanged: Database, tmp_path: Path) -> None:
    file = tmp_path / "stats.plan.json"
    hyperferry("plan", "player_stats", "--time", "game_date", "--out", str(file), dsn=unchanged.dsn)
    ran = hyperferry("start", str(file), "--workers", "4", "--json", dsn=unchanged.dsn)
    assert_failure(ran, 2, "--workers")


def test_a_plan_is_not_written_over_something_else(
    hyperferry: Hyperferry, unchanged: Database, tmp_path: Path
) -> None:
    precious = tmp_path / "precious.sql"
    precious.write_text("SELECT 1;", "utf-8")
    for out in (precious, tmp_path, tmp_path / "nowhere" / "plan.json"):
        ran = hyperferry(
            "plan", "player_stats", "--time", "game_date", "--out", str(out), "--json", dsn=unchanged.dsn
        )
        assert_failure(ran, 2, str(out))
    assert precious.read_text("utf-8") == "SELECT 1;"


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('[pgbouncer]\ndsn = "host=h password=s3cret"', ["password", "does not belong"]),
        ('pgbouncer = "postgresql://u:s3cret@h/pgbouncer"', ["password", "does not belong"]),
        ('pgbouncer = ["host=h", "host=i password=s3cret"]', ["password", "does not belong"]),
        ("[pgbouncer]\nport = 6432", ["pgbouncer", "one key, dsn"]),
        ("chunk_intervall = '1 day'", ["chunk_intervall", "did you mean chunk_interval?"]),
        ("dsn = 'postgresql://u:s3cret@h/d'", ["dsn", "PGSERVICE"]),
        ("[maintenance]\nwindow = '7 days'", ["[maintenance]", "does not read yet"]),
        ("[compression]\naftr = '7 days'", ["[compression]", "aftr", "did you mean after?"]),
        ("[[index]]\nname = 'i'", ["[[index]] number 1", "lacks the key 'columns'"]),
        ("workers = 'many'", ["workers"]),
        ("table =", ["not valid TOML"]),
    ],
)
def test_a_configuration_that_is_wrong(
    hyperferry: Hyperferry, tmp_path: Path, toml: str, words: list[str]
) -> None:
    (tmp_path / "hyperferry.toml").write_text(toml, "utf-8")
    ran = hyperferry("preflight", "player_stats", "--json")
    assert_failure(ran, 2, *words)
    assert "s3cret" not in ran.stdout + ran.stderr


def test_a_configuration_that_is_not_there(hyperferry: Hyperferry) -> None:
    assert_failure(hyperferry("status", "--config", "nowhere.toml", "--json"), 2, "nowhere.toml")


def test_a_large_table_is_not_blocked_for_long(hyperferry: Hyperferry, unchanged: Database) -> None:
    ran = hyperferry(
        "start",
        "player_stats",
        *("--time", "game_date", "--strategy", "in-place", "--max-rows", "100", "--accept", "all", "--json"),
        dsn=unchanged.dsn,
    )
    assert_failure(ran, 3, "--force")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"player,value\n1,2\n", "first line"),
        (b"player_id,game_id,stat_type,value,game_date\n1,2,x,y,z\n", "no statistic"),
    ],
)
def test_a_demo_of_a_file_that_holds_something_else(
    hyperferry: Hyperferry, db: Database, tmp_path: Path, content: bytes, word: str
) -> None:
    file = tmp_path / "stats.csv"
    file.write_bytes(content)
    ran = hyperferry("demo", "--csv", str(file), "--dsn", db.dsn, "--json")
    assert_failure(ran, 2, word)


@pytest.mark.parametrize(
    "options",
    [
        ["--max-wait", "soon"],
        ["--at", "24:61"],
        ["--at", "2001-01-01T00:00Z"],
        ["--at", "2099-01-01T00:00"],
        ["--at", "2099-01-01T00:00Z", "--postpone"],
        ["--now", "--dry-run"],
    ],
    ids=" ".join,
)
def test_a_time_that_cannot_be_meant(hyperferry: Hyperferry, unchanged: Database, options: list[str]) -> None:
    assert_failure(hyperferry("cutover", "player_stats", *options, "--json"), 2)


def test_a_word_for_a_cutover_that_does_not_wait(hyperferry: Hyperferry, synced: Database) -> None:
    assert_failure(hyperferry("cutover", "player_stats", "--now", "--json", dsn=synced.dsn), 3, "is waiting")


@pytest.mark.parametrize("command", ["start", "sync", "throttle"])
@pytest.mark.parametrize("wish", [("--rate", "fast"), ("--max-latency", "1x"), ("--max-slot-lag", "10s")])
def test_a_limit_that_is_not_understood(
    hyperferry: Hyperferry, unchanged: Database, command: str, wish: tuple[str, str]
) -> None:
    option = "--max-rate" if wish[0] == "--rate" else wish[0]
    ran = hyperferry(command, "player_stats", *wish, "--json", dsn=unchanged.dsn)
    assert_failure(ran, 2, option, wish[1])


def test_a_limit_in_the_environment_that_is_not_understood(
    hyperferry: Hyperferry, unchanged: Database
) -> None:
    ran = hyperferry("sync", "player_stats", "--json", dsn=unchanged.dsn, HYPERFERRY_MAX_REPLICA_LAG="soon")
    assert_failure(ran, 2, "max_replica_lag", "soon", "HYPERFERRY_MAX_REPLICA_LAG")
