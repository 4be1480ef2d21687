"""`rehearse` and `start --rehearse` as a user runs them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from hyperferry import sandbox
from servers import Database

from .conftest import Hyperferry, Ran

KEYS = {
    "table", "time_column", "passed", "steps", "warnings", "accepts_needed", "not_accepted", "real_server", "rehearsed_on",
    "rows", "chunks", "seconds",
}  # fmt: skip


def left_over(db: Database, pid: int) -> list[str]:
    with db.server.connect() as conn:
        rows = conn.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [f"hyperferry_rehearsal_{pid}_"]
        )
        return [row[0] for row in rows]


def test_the_report_as_json_and_as_text(unchanged: Database, hyperferry: Callable[..., Ran]) -> None:
    ran = hyperferry(
        "rehearse", "player_stats", "--time", "game_date", "--in", unchanged.server.dsn, "--chunks", "4", "--json",
        dsn=unchanged.dsn,
    )  # fmt: skip
    assert ran.code == 0, ran.stderr
    assert set(ran.json) == KEYS
    assert ran.json["passed"] is True
    assert {"name", "status", "message", "seconds", "remedy", "details"} == set(ran.json["steps"][0])
    assert ran.json["accepts_needed"] == ran.json["not_accepted"] == ["widened-key"]
    assert ran.json["table"] == "public.player_stats"


def test_start_refuses_what_did_not_pass_and_touches_nothing(
    unchanged: Database, hyperferry: Callable[..., Ran]
) -> None:
    unchanged.execute("""
        CREATE SCHEMA own;
        CREATE FUNCTION own.named() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF TG_TABLE_NAME <> 'stats' THEN RAISE 'what is %?', TG_TABLE_NAME; END IF; RETURN NEW; END $$;
        CREATE TABLE own.stats (id bigint PRIMARY KEY, at timestamptz NOT NULL);
        CREATE TRIGGER named BEFORE INSERT ON own.stats FOR EACH ROW EXECUTE FUNCTION own.named();
    """)
    ran = hyperferry("start", "own.stats", "--time", "at", "--rehearse", "--json", dsn=unchanged.dsn)
    assert ran.code == 3, ran.stderr
    assert "nothing was started" in ran.json["error"]
    assert "application on the hypertable" in ran.json["facts"]
    assert "what is _hyper" in ran.stderr
    assert unchanged.execute(
        "SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, 'hyperferry')"
    ) == [(0,)]
    unchanged.execute("DROP SCHEMA own CASCADE")


def test_start_rehearses_what_is_given_up_and_then_does_it(
    db: Database, hyperferry: Callable[..., Ran]
) -> None:
    """Without the options both refuse; with them the rehearsal passes, and the cutover drops just those two."""
    db.execute("""
        CREATE SCHEMA own;
        CREATE TABLE own.stats (id bigserial PRIMARY KEY, at timestamptz NOT NULL);
        CREATE TABLE own.child (stat bigint CONSTRAINT child_stat REFERENCES own.stats);
        INSERT INTO own.stats (at) SELECT timestamptz '2024-01-01' + i * interval '1 day' FROM generate_series(1, 20) AS i;
        CREATE PUBLICATION feed FOR TABLE own.stats;
    """)
    given_up = ("--drop-inbound-fk", "child_stat", "--drop-from-publication", "feed")
    there = ("--in", db.server.dsn)
    ran = hyperferry("rehearse", "own.stats", "--time", "at", *there, "--json", dsn=db.dsn)
    assert ran.code == 3
    assert {"inbound-foreign-keys", "publications"} <= {
        detail.partition(":")[0] for detail in ran.json["steps"][0]["details"]
    }
    ran = hyperferry(
        "rehearse", "own.stats", "--time", "at", *there, *given_up, "--json", dsn=db.dsn
    )
    assert (ran.code, ran.json["passed"]) == (0, True), ran.stdout
    ran = hyperferry("start", "own.stats", "--time", "at", "--rehearse", "--json", dsn=db.dsn)
    assert ran.code == 3, "nothing is given up that was not named"
    ran = hyperferry(
        "start", "own.stats", "--time", "at", "--rehearse", *given_up, "--json", dsn=db.dsn
    )
    assert (ran.code, ran.json["phase"]) == (0, "synced"), ran.stderr
    ran = hyperferry("cutover", "own.stats", "--accept", "all", *given_up, "--json", dsn=db.dsn)
    assert ran.code == 0, ran.stderr
    left = "SELECT count(*) FROM pg_constraint WHERE conname = 'child_stat'"
    assert db.execute(left) == [(0,)]
    assert db.execute("SELECT count(*) FROM pg_publication_tables WHERE pubname = 'feed'") == [(0,)]
    ran = hyperferry("rollback", "own.stats", "--json", dsn=db.dsn)
    assert ran.code == 0, ran.stderr
    assert db.execute(left) == [(1,)]
    assert db.execute("SELECT count(*) FROM pg_publication_tables WHERE pubname = 'feed'") == [(1,)]


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("where", ["sandbox", "given"])
@pytest.mark.parametrize("after", ["Making a database", "cutover: passed"])
def test_ctrl_c_leaves_neither_a_database_nor_a_sandbox(
    unchanged: Database, hyperferry: Hyperferry, where: str, after: str
) -> None:
    more = ["--in", unchanged.server.dsn] if where == "given" else []
    process = subprocess.Popen(
        hyperferry.command("rehearse", "player_stats", "--time", "game_date", "--chunks", "2", *more),
        env=hyperferry.env(unchanged.dsn),
        cwd=hyperferry.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if after in line:
            process.send_signal(signal.SIGINT)
            break
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 4, said
    assert "leaves nothing behind" in said
    assert left_over(unchanged, process.pid) == []
    assert [each.name for each in sandbox.status() if each.name.startswith(f"rehearsal-{process.pid}-")] == []


@pytest.mark.parametrize(
    "options",
    [
        ("--in", "postgresql://h/d", "--release", "stable"),
        ("--release", "stable", "--server", "x"),
        ("--chunks", "0"),
    ],
)
def test_wrong_options_are_usage(
    unchanged: Database, hyperferry: Callable[..., Ran], options: tuple[str, ...]
) -> None:
    ran = hyperferry("rehearse", "player_stats", "--time", "game_date", *options, dsn=unchanged.dsn)
    assert ran.code == 2, ran.stderr


def test_a_server_that_does_not_answer_is_a_failure(
    unchanged: Database, hyperferry: Callable[..., Ran]
) -> None:
    ran = hyperferry(
        "rehearse",
        "player_stats",
        "--time",
        "game_date",
        "--in",
        "postgresql://u:topsecret@127.0.0.1:1/d",
        dsn=unchanged.dsn,
    )
    assert ran.code == 1
    assert "topsecret" not in ran.stdout + ran.stderr
