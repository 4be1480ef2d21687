"""What goes to stdout and what to stderr; streams that are closed or full; interruptions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from servers import Database

from .conftest import Hyperferry

posix = pytest.mark.skipif(os.name != "posix", reason="signals and /dev/full are POSIX")


def test_stdout_is_one_object_and_nothing_is_animated(hyperferry: Hyperferry, stats: Database) -> None:
    ran = hyperferry("start", "player_stats", "--time", "game_date", "--json", dsn=stats.dsn)
    assert ran.code == 0
    assert len(ran.stdout.splitlines()) == 1
    json.loads(ran.stdout)
    assert "\x1b" not in ran.stdout + ran.stderr
    assert "\r" not in ran.stderr
    assert "verified" in ran.stderr


def test_sql_alone_is_on_stdout(hyperferry: Hyperferry, stats: Database) -> None:
    ran = hyperferry("plan", "player_stats", "--time", "game_date", "--sql", dsn=stats.dsn)
    assert ran.code == 0
    assert ran.stdout.startswith("-- What hyperferry")
    assert "becomes a hypertable by" in ran.stderr
    assert 'CREATE TABLE "hyperferry_new_1"."player_stats"' in ran.stdout


@posix
def test_colours_where_a_terminal_is_and_they_are_wanted(hyperferry: Hyperferry, stats: Database) -> None:
    import pty

    def shown(**environment: str) -> str:
        parent, child = pty.openpty()
        with subprocess.Popen(
            hyperferry.command("preflight", "player_stats", "--time", "game_date"),
            cwd=hyperferry.folder,
            env=hyperferry.env(stats.dsn, TERM="xterm-256color", **environment),
            stdout=child,
            stderr=child,
        ) as process:
            os.close(child)
            text = b""
            while True:
                try:
                    block = os.read(parent, 65536)
                except OSError:
                    break
                if not block:
                    break
                text += block
            assert process.wait() == 0
        os.close(parent)
        return text.decode()

    assert "\x1b[1;33m" in shown()
    assert "\x1b[1;33m" not in shown(NO_COLOR="1")


@posix
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_full_disk_under_stdout(hyperferry: Hyperferry, stats: Database, as_json: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            hyperferry.command("preflight", "player_stats", "--time", "game_date", *as_json),
            cwd=hyperferry.folder,
            env=hyperferry.env(stats.dsn),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@posix
def test_a_reader_that_left(hyperferry: Hyperferry, stats: Database) -> None:
    with subprocess.Popen(
        hyperferry.command("plan", "player_stats", "--time", "game_date", "--sql"),
        cwd=hyperferry.folder,
        env=hyperferry.env(stats.dsn),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors
    assert "Broken pipe" not in errors


@posix
def test_a_stderr_that_is_gone_stops_no_rollout(hyperferry: Hyperferry, stats: Database) -> None:
    with subprocess.Popen(
        hyperferry.command("start", "player_stats", "--time", "game_date", "--json"),
        cwd=hyperferry.folder,
        env=hyperferry.env(stats.dsn),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        printed = process.stdout.read()
    assert process.returncode == 0
    assert json.loads(printed)["phase"] == "synced"


def closed(hyperferry: Hyperferry, db: Database, streams: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command with some of its streams closed, as a shell says it."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {streams}', "sh", *hyperferry.command(*arguments)],
        cwd=hyperferry.folder,
        env=hyperferry.env(db.dsn),
        capture_output=True,
        text=True,
        timeout=240,
    )


@posix
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_stdout_that_was_closed_before(hyperferry: Hyperferry, stats: Database, as_json: list[str]) -> None:
    done = closed(hyperferry, stats, "<&- >&-", "preflight", "player_stats", "--time", "game_date", *as_json)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@posix
def test_a_stderr_that_was_closed_before_leaves_stdout_alone(hyperferry: Hyperferry, stats: Database) -> None:
    done = closed(hyperferry, stats, "2>&-", "plan", "player_stats", "--time", "game_date", "--json", "--out", "kept.json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["out"] == "kept.json"
    failed = closed(hyperferry, stats, "2>&-", "preflight", "nothing_here", "--time", "game_date", "--json")
    assert (failed.returncode, json.loads(failed.stdout)["exit_code"]) == (2, 2)
    assert closed(hyperferry, stats, ">&- 2>&-", "status").returncode == 0


@pytest.mark.parametrize("name", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_pipe_is_no_terminal_whatever_the_environment_says(hyperferry: Hyperferry, stats: Database, name: str) -> None:
    ran = hyperferry("preflight", "player_stats", "--time", "game_date", dsn=stats.dsn, **{name: "1"})
    assert "\x1b" not in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) > 150
    ran = hyperferry("start", "player_stats", "--time", "game_date", dsn=stats.dsn, **{name: "1"})
    assert ran.code == 0
    assert "\x1b" not in ran.stdout + ran.stderr
    assert "\r" not in ran.stderr


EVIL = "a\nSELECT evil; --"


def test_a_name_does_not_leave_its_comment(hyperferry: Hyperferry, db: Database) -> None:
    """A line feed in a table's name: what follows it would be a statement, or a line of the file."""
    quoted = f'"{EVIL}"'
    db.execute(
        f"CREATE TABLE {quoted} (id bigint PRIMARY KEY, at timestamptz NOT NULL);"
        f"INSERT INTO {quoted} SELECT i, timestamptz '2024-01-01' + i * interval '1 hour' FROM generate_series(1, 500) i"
    )
    plan = hyperferry("plan", quoted, "--time", "at", "--sql", dsn=db.dsn)
    assert plan.code == 0, plan.stderr
    first, second, *_ = plan.stdout.splitlines()
    assert first.startswith("-- What hyperferry")
    assert second.startswith("-- To read")
    advised = hyperferry("advise", quoted, "--time", "at", "--toml", dsn=db.dsn)
    assert advised.code == 0, advised.stderr
    assert "chunk_interval" in tomllib.loads(advised.stdout)
    db.execute(f"ALTER TABLE {quoted} DROP CONSTRAINT \"{EVIL}_pkey\"")
    db.execute("SELECT create_hypertable(%s, 'at', migrate_data => true)", quoted)
    (hyperferry.folder / "hyperferry.toml").write_text(f'table = {json.dumps(quoted)}\nchunk_interval = "2 days"\n', "utf-8")
    diff = hyperferry("diff", "--sql", dsn=db.dsn)
    assert diff.code == 3, diff.stderr
    first, second, *_ = diff.stdout.splitlines()
    assert first.startswith("-- What stands")
    assert second.startswith("-- Index builds")


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_sync_ends_when_it_is_asked_to(hyperferry: Hyperferry, synced: Database, number: int) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("whoever started the tests (nohup, say) has that signal ignored, and so has every program they start")
    with subprocess.Popen(
        hyperferry.command("sync", "player_stats", "--json"),
        cwd=hyperferry.folder,
        env=hyperferry.env(synced.dsn),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert "synced" in process.stderr.readline()
        process.send_signal(number)
        printed = process.stdout.read()
    assert process.returncode == 4
    assert json.loads(printed)["interrupted"] is True


@posix
def test_an_interrupted_start_goes_on_by_the_same_command(hyperferry: Hyperferry, stats: Database) -> None:
    stats.execute(
        "INSERT INTO player_stats (player_id, stat_type, value, game_date) "
        "SELECT i % 30, 'more', i, timestamptz '2024-01-06' + i * interval '10 seconds' FROM generate_series(1, 300000) i"
    )
    start = ["start", "player_stats", "--time", "game_date", "--batch-rows", "5000", "--workers", "1"]
    with subprocess.Popen(
        hyperferry.command(*start),
        cwd=hyperferry.folder,
        env=hyperferry.env(stats.dsn, HYPERFERRY_MAX_RATE="20000"),  # fifteen seconds: it is under way when it is interrupted
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "batches to copy" in line:
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 4, rest
    assert "everything done so far is kept" in rest
    assert "Traceback" not in rest
    status = hyperferry("status", "player_stats", "--json", dsn=stats.dsn).json
    assert status["phase"] == "copying"
    assert hyperferry(*start, dsn=stats.dsn).code == 0
    assert stats.execute("SELECT count(*) FROM hyperferry_new_1.player_stats") == [(303000,)]


def test_a_command_line_that_asks_for_nothing_gets_help(hyperferry: Hyperferry) -> None:
    ran = hyperferry()
    assert ran.code == 2
    assert "Usage: hyperferry" in ran.stderr
    assert hyperferry("--version").stdout.startswith("hyperferry ")
    assert hyperferry("start", "--help").code == 0


def test_a_bug_is_said_without_a_trace(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from hyperferry import engine\n"
        "def broken(*a, **k): raise ZeroDivisionError('postgresql://u:s3cret@h/d')\n"
        "engine.status = broken\n"
        "from hyperferry.cli.main import run\n"
        "sys.exit(run(['status', '--json']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "fault of its own" in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
