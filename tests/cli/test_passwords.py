"""A password is nowhere to be found but where the user put it: not in the process list, a log, the ledger, a file or an answer."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import servers
from hyperferry import sandbox
from hyperferry.db import connect
from hyperferry.db.connection import password_in
from hyperferry.errors import ConnectionFailed
from servers import RUN, Database, Server

from .conftest import TABLE, Hyperferry

OURS = os.environ.get("PYTEST_XDIST_WORKER", "gw") + "q"
"""Of this process of the run: others may be at the same tests, with passwords in the one list of processes."""
SECRET = f"Xq7zZ{OURS}/w?9k{OURS}@Vv5{OURS}"
"""With what a URL has to encode."""
PARTS = ("Xq7zZ", "w?9k", f"9k{OURS}@V", "Vv5")
ENCODED = SECRET.replace("/", "%2F").replace("?", "%3F").replace("@", "%40")

posix = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the process list is read from /proc")


def guarded_name() -> str:
    """The sandbox of these tests, one for each process of the run."""
    return f"test-{os.environ[RUN]}-guarded_{OURS}"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Database]:
    """A server that asks one role for its password and logs each statement, with the demo's table in a database."""
    made = sandbox.up(guarded_name(), release="stable", fast=True)
    server = Server("stable", made.dsn, made.bin_dir)
    db = servers.make_database(server)
    rules = made.data_dir / "pg_hba.conf"
    rules.write_text("host all keeper 127.0.0.1/32 scram-sha-256\n" + rules.read_text("utf-8"), "utf-8")
    db.execute("ALTER SYSTEM SET log_statement = 'all'; ")
    with db.connect() as conn:
        hashed = conn.pgconn.encrypt_password(SECRET.encode(), b"keeper", b"scram-sha-256").decode()
        conn.execute(f"CREATE ROLE keeper LOGIN PASSWORD '{hashed}'".encode())
    db.execute("SELECT pg_reload_conf()")
    db.execute(f'GRANT CREATE ON DATABASE "{db.name}" TO keeper; GRANT ALL ON SCHEMA public TO keeper')
    db.execute(TABLE + "ALTER TABLE player_stats OWNER TO keeper; ALTER VIEW player_totals OWNER TO keeper")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(db.dsn_as("keeper"))
    yield db
    sandbox.down(made.name)


def places(db: Database, folder: Path) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Every way to give the password: arguments and environment."""
    info = conninfo_to_dict(db.dsn_as("keeper"))
    service = folder / "services.conf"
    service.write_text(
        f"[guarded]\nhost={info['host']}\nport={info['port']}\ndbname={info['dbname']}\nuser=keeper\npassword={SECRET}\n"
    )
    passfile = folder / "passwords"
    passfile.write_text(f"*:*:*:keeper:{SECRET.replace(':', chr(92) + ':')}\n")
    passfile.chmod(0o600)
    url = f"postgresql://keeper:{ENCODED}@{info['host']}:{info['port']}/{info['dbname']}"
    words = f"host={info['host']} port={info['port']} dbname={info['dbname']} user=keeper"
    bare = db.dsn_as("keeper")
    return {
        "url": (["--dsn", url], {}),
        "keywords": (["--dsn", f"{words} password='{SECRET}'"], {}),
        "DATABASE_URL": ([], {"DATABASE_URL": url}),
        "SQLAlchemy": ([], {"DATABASE_URL": url.replace("postgresql:", "postgresql+psycopg:")}),
        "PGPASSWORD": ([], {"DATABASE_URL": bare, "PGPASSWORD": SECRET}),
        "variables": (
            [],
            {"PGHOST": str(info["host"]), "PGPORT": str(info["port"]), "PGDATABASE": str(info["dbname"]), "PGUSER": "keeper", "PGPASSWORD": SECRET},
        ),
        "service file": ([], {"PGSERVICEFILE": str(service), "PGSERVICE": "guarded"}),
        "password file": ([], {"DATABASE_URL": bare, "PGPASSFILE": str(passfile)}),
    }


def shows(text: str) -> bool:
    """Whether the text has the password, or a part of it that tells something."""
    return any(part in text for part in (SECRET, ENCODED, *PARTS))


def ours_shows(line: str) -> bool:
    """Whether that line of the process list has this process's password, or a part of it."""
    return OURS in line and shows(line)


WAYS = ["url", "keywords", "DATABASE_URL", "SQLAlchemy", "PGPASSWORD", "variables", "service file", "password file"]


@pytest.mark.parametrize("way", WAYS)
def test_no_answer_shows_the_password(hyperferry: Hyperferry, guarded: Database, tmp_path: Path, way: str) -> None:
    arguments, environment = places(guarded, tmp_path)[way]
    for command in (["roles", "player_stats", "--sql"], ["verify", "nowhere", "--json"]):
        ran = hyperferry(*command, *arguments, HYPERFERRY_DEBUG="1", **environment)
        assert ran.code == (0 if "nowhere" not in command else 2), ran
        assert not shows(ran.stdout + ran.stderr)
        assert ("process list" in ran.stderr) == bool(arguments)


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_password_is_not_shown_either(hyperferry: Hyperferry, guarded: Database, tmp_path: Path, way: str) -> None:
    arguments, environment = places(guarded, tmp_path)[way]
    guarded.execute("ALTER ROLE keeper PASSWORD 'another one'")
    try:
        ran = hyperferry("status", "--json", *arguments, HYPERFERRY_DEBUG="1", **environment)
    finally:
        with guarded.connect() as conn:
            hashed = conn.pgconn.encrypt_password(SECRET.encode(), b"keeper", b"scram-sha-256").decode()
            conn.execute(f"ALTER ROLE keeper PASSWORD '{hashed}'".encode())
    assert ran.code == 1
    assert "password authentication failed" in ran.json["facts"]["server said"]
    assert not shows(ran.stdout + ran.stderr)


MALFORMED = [
    f"postgresql://keeper:{SECRET}@127.0.0.1:1/none",
    f"postgresql://keeper:{SECRET.replace('/', '')}@127.0.0.1:1/none",
    f"postgresql://keeper:%zz{SECRET}@127.0.0.1:1/none",
    "postgresql://keeper:Xq7zZ:w?9k@Vv5@127.0.0.1/none",
    "host=127.0.0.1 port=1 password=Xq7zZ w?9k Vv5",
    "host=127.0.0.1 port=1 password='Xq7zZ w?9k",
    "password = Xq7zZ=Vv5 9k@Vx host",
    "postgresql://127.0.0.1:1/none?password=Xq7zZ&nonsense=9k@Vx",
]


@pytest.mark.parametrize("dsn", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_connection_string_shows_none_of_it(dsn: str, hyperferry: Hyperferry) -> None:
    """libpq takes parts of it for a host, a port or a word, and names them in its message."""
    with pytest.raises(ConnectionFailed) as caught:
        connect(dsn, connect_timeout=2)
    assert not shows(str(caught.value))
    if dsn in (MALFORMED[0], MALFORMED[4]):
        ran = hyperferry("status", "--json", dsn=dsn, HYPERFERRY_DEBUG="1")
        assert ran.code == 1
        assert not shows(ran.stdout + ran.stderr)


def test_what_a_password_is_in_a_connection_string() -> None:
    assert password_in("postgresql://u:a%40b@h:1/d") == "a%40b"
    assert password_in("postgresql://u@h/d") == ""
    assert password_in("host=h password='a b' user=u") == "a b"
    assert password_in("host=h user=u") == ""
    assert password_in("") == ""


class Watch(threading.Thread):
    """Looks again and again at the command lines of all processes, and at what the sessions run."""

    def __init__(self, db: Database) -> None:
        super().__init__(daemon=True)
        self.db, self.ended = db, threading.Event()
        self.seen: set[str] = set()
        self.queries: set[str] = set()

    def run(self) -> None:
        with self.db.connect() as conn:
            while not self.ended.is_set():
                for line in Path("/proc").glob("[0-9]*/cmdline"):
                    with contextlib.suppress(OSError):
                        self.seen.add(line.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                rows = conn.execute("SELECT query, application_name FROM pg_stat_activity WHERE usename = 'keeper'").fetchall()
                self.queries |= {str(row) for row in rows}
                time.sleep(0.03)

    def stop(self) -> None:
        self.ended.set()
        self.join(60)


@posix
def test_a_whole_job_leaves_no_password_anywhere(hyperferry: Hyperferry, guarded: Database, tmp_path: Path) -> None:
    _, environment = places(guarded, tmp_path)["DATABASE_URL"]
    plan = hyperferry.folder / "p.json"
    watch = Watch(guarded)
    watch.start()
    shown = ""
    try:
        for command in (
            ["plan", "player_stats", "--time", "game_date", "--out", str(plan)],
            ["start", str(plan), "--json"],
            ["verify", "player_stats"],
            ["cutover", "player_stats", "--accept", "all"],
            ["sync", "player_stats", "--until-empty"],
            ["rollback", "player_stats", "--json"],
            ["cutover", "player_stats"],
            ["finish", "player_stats", "--confirm", "player_stats"],
            ["status", "--json"],
        ):
            ran = hyperferry(*command, **environment)
            assert ran.code == 0, ran
            shown += ran.stdout + ran.stderr
    finally:
        watch.stop()
    assert not shows(shown)
    assert not shows(plan.read_text("utf-8"))
    assert any("hyperferry start" in line for line in watch.seen), "it did look"
    assert watch.queries
    assert not [line for line in watch.seen if ours_shows(line)]
    assert not [query for query in watch.queries if shows(query)]
    for table in ("rollout", "event", "verification", "expectation"):
        assert not shows(str(guarded.execute(f"SELECT t::text FROM hyperferry.{table} AS t")))
    made = sandbox.get(guarded_name())
    log = (made.data_dir.parent / "server.log").read_text("utf-8", errors="replace")
    assert "hyperferry.rollout" in log, "each statement is logged"
    assert not shows(log)


def test_the_password_that_demo_makes_is_not_in_the_servers_log(guarded: Database) -> None:
    from hyperferry.demo import data

    guarded.execute("CREATE TABLE IF NOT EXISTS public.player_stats (id int); CREATE SEQUENCE IF NOT EXISTS public.player_stats_id_seq")
    with connect(guarded.dsn) as conn, conn.transaction(force_rollback=True):
        data.make_role(conn, "demo_writer", SECRET)
        stored = conn.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'demo_writer'").fetchall()[0][0]
        assert stored.startswith("SCRAM-SHA-256$")
    made = sandbox.get(guarded_name())
    log = (made.data_dir.parent / "server.log").read_text("utf-8", errors="replace")
    assert "CREATE ROLE" in log
    assert not shows(log)


@posix
def test_a_password_on_the_command_line_stays_with_who_typed_it(hyperferry: Hyperferry, guarded: Database, tmp_path: Path) -> None:
    """The process that the user started has it in its arguments; none that it starts has."""
    arguments, _ = places(guarded, tmp_path)["url"]
    with subprocess.Popen(
        hyperferry.command("status", *arguments), env=hyperferry.env(None), cwd=hyperferry.folder, stderr=subprocess.PIPE, text=True
    ) as process:
        with_it: set[int] = set()
        while process.poll() is None:
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    if ours_shows(line.read_text("utf-8", errors="replace")):
                        with_it.add(int(line.parent.name))
        assert process.returncode == 0
        assert with_it <= {process.pid}
        assert process.stderr is not None
        assert re.search("process list", process.stderr.read())
