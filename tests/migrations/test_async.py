"""A project from `alembic init -t async`, on asyncpg: the same operations, and the same words where they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers import Database

from .conftest import TABLE, Place, Project


@pytest.fixture
def project(db: Database, tmp_path: Path) -> Project:
    made = Project(tmp_path, Place(db).url.replace("+psycopg", "+asyncpg"), "async")
    made.model("{'info': {'hyperferry': {'time': 'game_date', 'chunk_interval': '7 days'}}}")
    return made


def write(project: Project, body: str) -> None:
    """One revision whose upgrade does this."""
    project("revision", "-m", "by hand")
    path = max(project.versions.glob("*.py"), key=lambda each: each.stat().st_mtime_ns)
    head = path.read_text("utf-8").partition("def upgrade()")[0]
    path.write_text(f"{head}def upgrade():\n    {body}\n\ndef downgrade():\n    pass\n", "utf-8")


def test_from_nothing_to_a_hypertable(project: Project, db: Database) -> None:
    project("revision", "--autogenerate", "-m", "first")
    project("upgrade", "head")
    assert "No new upgrade operations detected" in "".join((done := project("check")).stdout + done.stderr)
    write(
        project,
        "with op.get_context().autocommit_block():\n"
        "        op.create_hypertable_index('slow', 'player_stats', ['value'], per_chunk=True)",
    )
    project("upgrade", "head")
    assert db.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'slow'::regclass") == [(True,)]


def test_what_is_refused_is_said_as_by_psycopg(project: Project, db: Database) -> None:
    """The guard, a rollout that is not there: a line, what to do, and no trace."""
    db.execute(TABLE)
    write(
        project,
        "op.create_hypertable('player_stats', 'game_date', primary_key=['id', 'game_date'], max_rows=100)",
    )
    done = project("upgrade", "head", check=False)
    assert done.returncode != 0
    assert "FAILED: hyperferry: " in done.stdout + done.stderr
    assert "more than 100 rows" in done.stdout + done.stderr
    assert "FORCE_PLAYER_STATS_HT=1" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    project("upgrade", "head", FORCE_PLAYER_STATS_HT="1")
    assert db.execute("SELECT count(*) FROM timescaledb_information.hypertables") == [(1,)]
