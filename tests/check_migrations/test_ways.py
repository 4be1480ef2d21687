"""How the project gets at its database, what it is told, and what is kept: on one release."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from hyperferry.cli.main import run
from servers import Database, Server

from .conftest import Project, found

LARGE = ("--large", "players")
PLAYERS = 'op.create_table("players", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))'
LOCKED = 'op.alter_column("players", "name", type_=sa.String(80))'
UNLOCKED = 'op.alter_column("players", "name", type_=sa.Text())'


def untouched(database: Database) -> bool:
    """Nothing was made in it."""
    return database.execute("SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname ~ 'alembic|players'") == []


def two(project: Project) -> None:
    """A table, and a revision that locks it for long."""
    project.add("first", PLAYERS, 'op.drop_table("players")')
    project.add("second", LOCKED, UNLOCKED)


def test_a_project_that_connects_elsewhere_is_stopped_before_its_first_statement(here: Project, db_of_here: Database) -> None:
    other = db_of_here
    two(here)
    url = other.dsn.replace("postgresql://", "postgresql+psycopg://")
    here.env(repr(url))
    failed = here.check(code=3)
    assert f"connects to the database {other.name} on 127.0.0.1," in failed["error"], "before a connection is made"
    assert "--env" in failed["remedy"]
    assert untouched(other)
    # Where its arguments do not say so, the server does; a file of SQLite is no way out either.
    here.env(repr(url), extra=f"import psycopg\\nmake = sa.create_engine\\nsa.create_engine = lambda url, **more: make('postgresql+psycopg://', creator=lambda: psycopg.connect({other.dsn!r}), **more)".replace("\\n", "\n"))
    assert f"connects to the database {other.name}, not" in here.check(code=3)["error"]
    assert untouched(other)
    here.env("'sqlite:///local.db'")
    assert "connects to a database of sqlite" in here.check(code=3)["error"]
    assert not (here.folder / "local.db").exists()


def test_ways_to_name_the_database(here: Project) -> None:
    """DATABASE_URL and libpq's variables lead to production; they are replaced, the first in its own spelling. What env.py asks for
    besides comes by --env and -x."""
    here.add("first", PLAYERS, 'op.drop_table("players")')
    here.env(
        "f\"postgresql+psycopg://{os.environ['U']}@{os.environ['H']}:{os.environ['P']}/{context.get_x_argument(as_dictionary=True)['db']}\"",
        extra="assert os.environ['DATABASE_URL'].startswith('postgres://')\n"
        "assert os.environ['DATABASE_URL'].endswith(os.environ['PGDATABASE'])\n"
        "assert os.environ['PGDATABASE'].startswith('hyperferry_check_')",
    )
    production = "postgres://nobody@192.0.2.1/production"
    words = ("--env", "U={user}", "--env", "H={host}", "--env", "P={port}", "-x", "db={dbname}")
    report = here.check(*words, DATABASE_URL=production, PGDATABASE="production")
    assert report["passed"]
    assert report["revisions"][0]["online"]
    assert report["revisions"][0]["offline"]


def test_alembics_async_template(here: Project) -> None:
    """As `alembic init -t async` makes it, address and all; by asyncpg."""
    shutil.rmtree(here.folder)
    here.folder.mkdir()
    subprocess.run([sys.executable, "-m", "alembic", "init", "-t", "async", "migrations"], cwd=here.folder, check=True, capture_output=True)
    two(here)
    here.add(
        "third",
        "with op.get_context().autocommit_block():\n    op.execute('CREATE INDEX by_name ON players (name)')\n    op.create_index('by_id', 'players', ['id'], postgresql_concurrently=True)",
        'op.drop_index("by_name")\nop.drop_index("by_id")',
    )
    report = here.check(*LARGE, "--driver", "asyncpg", code=3)
    assert found(report) == [("heavy-lock", "second"), ("blocking-index", "third")]
    assert report["findings"][0]["line"] == here.line("second", LOCKED)
    assert report["revisions"][2]["offline"]


def test_branches_and_merges_are_run_one_by_one(here: Project) -> None:
    here.add("root", PLAYERS, 'op.drop_table("players")')
    here.add("left", 'op.create_table("l", sa.Column("id", sa.Integer))', 'op.drop_table("l")', down="root")
    here.add("right", 'op.create_table("r", sa.Column("id", sa.Integer))', 'op.drop_table("r")', down="root")
    here.add("merge", "pass", down=("left", "right"))
    here.add("last", LOCKED, UNLOCKED, down="merge")
    report = here.check(*LARGE, code=3)
    assert found(report) == [("heavy-lock", "last")]
    assert [(each["online"], each["offline"]) for each in report["revisions"]] == [(True, True)] * 5


def test_what_is_accepted_and_what_is_not_judged(here: Project, one_server: Server) -> None:
    """And what GitHub is told of it. Nothing is left on the server."""
    two(here)
    path = here.file("second")
    path.write_text(path.read_text("utf-8").replace("def upgrade", "# hyperferry: accept heavy-lock, offline-fails\ndef upgrade"), "utf-8")
    here.add("third", "# on a Sunday\n" + LOCKED.replace("80", "90"), UNLOCKED.replace("sa.Text()", "sa.String(80)"))
    report = here.check(
        *LARGE, "--no-offline", "--since", "first", code=3, GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(here.folder.parent)
    )
    assert found(report) == [("heavy-lock", "third")]
    assert found(report, "accepted") == [("heavy-lock", "second")]
    assert [each["judged"] for each in report["revisions"]] == [False, True, True]
    (line,) = [line for line in report["err"].splitlines() if line.startswith("::")]
    place = f"file=a project/migrations/versions/third.py,line={here.line('third', 'op.alter_column')},title=hyperferry heavy-lock"
    assert line.startswith(f"::error {place}::public.players is locked in ACCESS EXCLUSIVE")
    assert "%0AWhat to do: " in line
    text = '[check_migrations]\nrows = { players = 4_000_000 }\naccept = ["heavy-lock"]\noffline = false\n'
    (here.folder / "hyperferry.toml").write_text(text, "utf-8")
    report = here.check("--since", "sec")
    assert found(report, "accepted") == [("heavy-lock", "third")]
    assert report["revisions"][2]["locks"][0]["rows"] == 4_000_000
    there = "SELECT datname FROM pg_database WHERE datname ~ '^hyperferry_check_'"
    with one_server.connect() as conn:
        left = [row[0] for row in conn.execute(there)]
        # Others may be at work on the same server: theirs carry the number of their own process, which drops them before it ends.
        dead = {name for name in left if not Path(f"/proc/{name.split('_')[2]}").exists()}
        assert dead & {row[0] for row in conn.execute(there)} == set()


def test_sql_is_kept_and_compared(here: Project) -> None:
    two(here)
    pinned = here.folder / "migrations.sql"
    assert here.check("--pin", "migrations.sql")["pinned"] == "migrations.sql"
    text = pinned.read_text("utf-8")
    assert "-- revision second: about second\n" in text
    assert "ALTER TABLE players ALTER COLUMN name TYPE VARCHAR(80);" in text
    here.file("second").write_text(here.file("second").read_text("utf-8").replace("80", "70"), "utf-8")
    here.add("third", "pass")
    (here.folder / "hyperferry.toml").write_text('[check_migrations]\nexpect = "migrations.sql"\n', "utf-8")
    report = here.check(code=3)
    assert found(report) == [("pin-differs", "second"), ("pin-differs", "third")], "and nothing of the first"
    assert "-ALTER TABLE players ALTER COLUMN name TYPE VARCHAR(80);" in report["findings"][0]["details"]
    assert "+ALTER TABLE players ALTER COLUMN name TYPE VARCHAR(70);" in report["findings"][0]["details"]
    assert "is not in it" in report["findings"][1]["message"]


def test_no_database_is_asked_which_table_the_file_is_about(
    here: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """DATABASE_URL is not read, whatever table the environment names."""
    two(here)
    (here.folder / "hyperferry.toml").write_text('table = "players"\n[check_migrations]\nlarge = ["players"]\n', "utf-8")
    monkeypatch.chdir(here.folder)
    monkeypatch.setenv("HYPERFERRY_TABLE", "public.players")
    monkeypatch.setattr("hyperferry.cli.options.same_there", lambda *names: pytest.fail(f"asked for {names}"))
    assert run(["check-migrations", "--json", "--dsn", here.dsn]) in (0, 3)
    assert json.loads(capsys.readouterr().out)["findings"] is not None


def test_wrong_usage_is_said_before_anything_is_made(
    here: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here.folder)

    def refused(*words: str) -> dict[str, Any]:
        assert run(["check-migrations", "--json", "--dsn", here.dsn, *words]) == 2
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    assert "is no rule" in refused("--accept", "haevy-lock")["error"]
    assert "--rows players" in refused("--rows", "players")["error"]
    assert "sandbox" in refused("--release", "stable")["error"]
    assert "There is no nowhere.ini" in refused("--alembic-config", "nowhere.ini")["error"]
    assert "--pin" in refused("--expect", "nowhere.sql")["remedy"]
    assert "stands for nothing" in refused("--env", "A={nothing}")["error"]
    (here.folder / "hyperferry.toml").write_text("[check_migrations]\nlarg = ['x']\n", "utf-8")
    assert "did you mean large" in refused()["error"]
    (here.folder / "hyperferry.toml").unlink()
    (here.folder / "migrations" / "versions" / "bad.py").write_text("this is no Python", "utf-8")
    failed = here.check(code=1)
    assert "Alembic cannot read this project" in failed["error"]
    assert "bad.py" in failed["facts"]["it said"]


@pytest.mark.parametrize("way", ["variable", "address"])
def test_a_service_file_leads_no_program_elsewhere(here: Project, db_of_here: Database, tmp_path: Path, way: str) -> None:
    """What a service file says wins over variables, by which psql and pg_dump would be told of our databases."""
    other = db_of_here
    two(here)
    parts = conninfo_to_dict(other.dsn)
    file = tmp_path / "services"
    file.write_text("[prod]\n" + "".join(f"{name}={parts[name]}\n" for name in ("host", "port", "user", "dbname")))
    environ = {"PGSERVICEFILE": str(file)}
    if way == "variable":
        environ["PGSERVICE"] = "prod"
    else:
        here.dsn = "service=prod"
    report = here.check(**environ)
    assert report["passed"]
    assert [each["offline"] for each in report["revisions"]] == [True, True]
    assert untouched(other)
