"""The life of a sandbox: made once, outlives its maker, starts again with its data, leaves no trace."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from hyperferry import sandbox
from hyperferry.errors import Failed, Refused, Usage
from hyperferry.sandbox.process import server_process, stop_server

RUN = [sys.executable, "-c", "from hyperferry.cli import main; main()", "sandbox"]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], capture_output=True, text=True, check=False, timeout=120)


def test_it_survives_the_command_that_started_it_and_goes_without_a_trace(state: Path) -> None:
    done = command("up", "--name", "one", "--release", "stable", "--fast", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert set(made) == {"dsn", "postgres_version", "timescaledb_version", "edition", "data_dir"}
    assert made["edition"] == "apache"
    assert made["postgres_version"].startswith("17.")

    with psycopg.connect(made["dsn"], autocommit=True) as connection:
        connection.execute("CREATE ROLE writer LOGIN PASSWORD 'x'")
        connection.execute("CREATE DATABASE shop")
        connection.execute("CREATE TABLE kept (n int)")
    as_writer = made["dsn"].replace("postgres@", "writer@").replace("/postgres", "/shop")
    with psycopg.connect(as_writer) as connection:  # any role, no password, and the extension is there
        assert connection.execute(
            "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
        ).fetchone() == (made["timescaledb_version"],)

    again = command("up", "--name", "one", "--json")
    assert json.loads(again.stdout) == made
    data = Path(made["data_dir"])
    process = server_process(data)
    assert process is not None

    told = command("psql", "--name", "one", "--", "-Atc", "SELECT count(*) FROM kept")
    assert told.stdout == "0\n", told.stderr

    stop_server(data)
    (seen,) = json.loads(command("status", "--json").stdout)["sandboxes"]
    assert (seen["name"], seen["state"]) == ("one", "stopped")
    with pytest.raises(Failed, match="no running sandbox"):
        sandbox.get("one")
    refused = command("psql", "--name", "one")
    assert refused.returncode == 1
    assert "hyperferry sandbox up --name one" in refused.stderr
    started = json.loads(command("up", "--name", "one", "--json").stdout)
    with psycopg.connect(started["dsn"]) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)

    assert command("down", "--name", "one").returncode == 0
    assert list(state.iterdir()) == []
    assert not processes_below(state)
    assert json.loads(command("status", "--json").stdout) == {"sandboxes": []}
    assert command("down", "--name", "one").returncode == 0


def test_two_starters_at_once_get_the_same_server(state: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: command("up", "--release", "stable", "--fast", "--json"), range(4)))
    assert {each.returncode for each in done} == {0}, [each.stderr for each in done]
    assert len({each.stdout for each in done}) == 1
    assert [each.name for each in sandbox.status()] == ["default"]


def test_several_by_name_and_each_release(state: Path) -> None:
    with (
        sandbox.server("a", release="stable", fast=True) as first,
        sandbox.server(release="testing", fast=True) as second,
    ):
        assert {each.name for each in sandbox.status()} == {"a", second.name}
        assert first.dsn != second.dsn
        assert (first.postgres_version[:2], second.postgres_version[:2]) == ("17", "18")
        with pytest.raises(Refused, match="another PostgreSQL") as refused:
            sandbox.up("a", release="testing")
        assert "down --name a" in str(refused.value)
    assert sandbox.status() == []


def test_what_a_starter_left_that_died_half_way_is_made_anew(state: Path) -> None:
    made = sandbox.up("half", release="stable", fast=True)
    left_over = server_process(made.data_dir)
    (state / "half" / "sandbox.json").unlink()  # as if it had died before it could write it
    assert sandbox.status() == []
    anew = sandbox.up("half", release="stable", fast=True)
    assert server_process(anew.data_dir) not in (None, left_over)
    with psycopg.connect(anew.dsn) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_stale_pid_file_never_stops_another_process(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as innocent:
        (tmp_path / "postmaster.pid").write_text(f"{innocent.pid}\n{tmp_path}\n")
        stop_server(tmp_path)
        assert innocent.poll() is None
        innocent.kill()


def test_a_taken_port_is_passed_over(state: Path) -> None:
    made = sandbox.up("port", release="stable", fast=True)
    stop_server(made.data_dir)
    with sandbox.server("other", release="stable", fast=True) as other:
        record = state / "port" / "sandbox.json"
        record.write_text(record.read_text().replace(f'"port": {made.port}', f'"port": {other.port}'))
        again = sandbox.up("port")
        assert again.port != other.port


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "x" * 41])
def test_names_that_cannot_be(state: Path, name: str) -> None:
    with pytest.raises(Usage, match="name of a sandbox"):
        sandbox.up(name)
    assert not state.exists()


def test_wrong_usage_of_the_command(state: Path) -> None:
    for wrong in (
        ("up", "--name", "a b"),
        ("up", "--release", "oldest"),
        ("up", "--pg-config", "/nowhere"),
        ("up", "--pg-config", "/bin/false"),
        ("up", "--server", "unlisted"),
        ("up", "--server", "x", "--release", "stable"),
    ):
        done = command(*wrong)
        assert done.returncode == 2, (wrong, done.stderr)
        assert done.stdout == ""
    assert sandbox.status() == []


def processes_below(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if folder in (process / "cwd").readlink().parents:
                found.append(process.name)
        except OSError:
            continue
    return found
