"""docs/alembic.md, done from nothing as a reader would, and `hyperferry alembic init`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from servers import Database

from .conftest import NEEDED, TABLE, Place, Project

PAGE = Path(__file__).parents[2] / "docs" / "alembic.md"


def block(language: str, word: str) -> str:
    """The page's block of that language with that word."""
    (found,) = (
        body
        for body in re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.S)
        if word in body
    )
    return str(found)


def shell(folder: Path, db: Database, script: str, *, check: bool = True) -> str:
    """Runs a block of the page as it stands; what was said."""
    programs = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "DATABASE_URL": db.dsn, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    assert (done.returncode == 0) is check, said
    return said


def replaced(file: Path, old: str, new: str) -> None:
    """A reader edits a file."""
    text = file.read_text("utf-8")
    assert text.count(old) == 1, (file, old)
    file.write_text(text.replace(old, new), "utf-8")


def begun(folder: Path, db: Database) -> Path:
    """A project from nothing, by the page: the folder is empty before; models.py is returned."""
    shell(folder, db, block("sh", "alembic init migrations"))
    address = block("ini", "sqlalchemy.url").strip()
    (before,) = (
        line
        for line in (folder / "alembic.ini").read_text("utf-8").splitlines()
        if line.startswith("sqlalchemy.url")
    )
    replaced(
        folder / "alembic.ini",
        before,
        address.replace("postgresql+psycopg://owner@db.example/app", Place(db).url),
    )
    metadata = NEEDED + block("python", "target_metadata = Base.metadata")
    replaced(folder / "migrations" / "env.py", "target_metadata = None", metadata)
    models = folder / "models.py"
    models.write_text(block("python", "class PlayerStats"), "utf-8")
    return models


WISH = '    __table_args__ = {"info": {"hyperferry": {"time": "game_date", "chunk_interval": "7 days"}}}\n'
NOTHING = "No new upgrade operations detected"


def from_nothing(folder: Path, db: Database) -> str:
    """The page's first part, command by command; the revision that its second step wrote."""
    models = begun(folder, db)
    assert NOTHING in shell(folder, db, block("sh", '"player stats"'))
    assert Place(db).state()[1][0][:3] == ("public", "player_stats", "game_date")
    replaced(models, WISH, block("python", '"retention"'))
    assert NOTHING in shell(folder, db, block("sh", "narrower chunks"))
    after = Place(db).state()
    (second,) = (folder / "migrations" / "versions").glob("*narrower*.py")
    assert NOTHING in shell(folder, db, "alembic downgrade base && alembic upgrade head && alembic check")
    assert Place(db).state() == after
    return second.read_text("utf-8")


def test_the_page_from_nothing_to_a_hypertable(db: Database, tmp_path: Path) -> None:
    """Autogenerate proposes nothing after each step."""
    second = from_nothing(tmp_path, db)
    assert "op.set_chunk_interval('player_stats', '1 day', existing='7 days')" in second
    assert "op.add_" not in second, "the Apache edition has none"


@pytest.mark.community
def test_the_page_from_nothing_to_a_hypertable_with_policies(community_db: Database, tmp_path: Path) -> None:
    second = from_nothing(tmp_path, community_db)
    assert "op.set_chunk_interval('player_stats', '1 day', existing='7 days')" in second
    assert (
        "op.add_compression('player_stats', segment_by=['player_id'], after='30 days', skip_on_apache=True)"
        in second
    )
    assert "op.add_retention('player_stats', '2 years', skip_on_apache=True)" in second
    jobs = [job[0] for job in Place(community_db).state()[2]]
    assert jobs == ["policy_compression", "policy_retention"]


def test_the_page_for_a_large_table_in_use(one_db: Database, tmp_path: Path) -> None:
    """From a plain table that was Alembic's: the revision waits, the rollout is done, and nothing is proposed at any step."""
    models = begun(tmp_path, one_db)
    wide = "mapped_column(DateTime(timezone=True), primary_key=True)"
    replaced(models, WISH, "")
    replaced(models, wide, "mapped_column(DateTime(timezone=True), nullable=False)")
    assert NOTHING in shell(tmp_path, one_db, block("sh", '"player stats"'))
    one_db.execute(
        "INSERT INTO player_stats (game_date, player_id, value) SELECT timestamptz '2024-01-01' + i * interval '1 minute', i % 30, i "
        "FROM generate_series(1, 100001) AS i"
    )
    shell(tmp_path, one_db, "hyperferry alembic init player_stats --time game_date --chunk-interval '7 days'")
    assert "hyperferry start" in shell(tmp_path, one_db, "alembic upgrade head", check=False)
    assert NOTHING in shell(tmp_path, one_db, block("sh", "hyperferry start"))
    replaced(models, "    id = mapped_column", f"{WISH}\n    id = mapped_column")
    replaced(models, "mapped_column(DateTime(timezone=True), nullable=False)", wide)
    assert NOTHING in shell(tmp_path, one_db, "alembic check")
    shell(tmp_path, one_db, "hyperferry finish player_stats --confirm player_stats")
    assert NOTHING in shell(tmp_path, one_db, "alembic check")
    assert one_db.execute("SELECT count(*), sum(value) FROM player_stats") == [(100001, 100001 * 100002 // 2)]


def test_the_pages_revision_for_a_large_table(project: Project, db: Database) -> None:
    """And the one that `hyperferry alembic init` writes says the same."""
    db.execute(TABLE)
    project("revision", "-m", "large")
    (path,) = (project.folder / "migrations" / "versions").glob("*.py")
    head = path.read_text("utf-8").partition("def upgrade()")[0]
    path.write_text(head + block("python", "def upgrade"), "utf-8")
    project("upgrade", "head")
    state = Place(db).state()
    assert state[1][0][:3] == ("public", "player_stats", "game_date")
    project("downgrade", "base")
    path.unlink()
    db.execute("DROP TABLE player_stats")
    db.execute(TABLE)
    done = subprocess.run(
        [
            sys.executable, "-m", "hyperferry", "alembic", "init", "player_stats", "--time", "game_date", "--chunk-interval", "7 days",
            "--dsn", db.dsn, "--json",
        ],
        cwd=project.folder,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = project.newest()
    assert "import hyperferry.alembic" in text
    assert (
        "op.require_rollout('player_stats', time='game_date', chunk_interval='7 days', primary_key=['id', 'game_date'])"
        in text
    )
    project("upgrade", "head")
    assert Place(db).state()[1:] == state[1:]
    project("downgrade", "base")


def test_init_says_what_is_wrong_and_writes_nothing(project: Project, db: Database) -> None:
    db.execute(TABLE)

    def init(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hyperferry", "alembic", "init", *words, "--dsn", db.dsn],
            cwd=project.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode in (2, 3), done
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "alembic init migrations" in init(
        "player_stats", "--time", "game_date", "--alembic-config", "nowhere.ini"
    )
    assert "There is no policies.toml" in init(
        "player_stats", "--time", "game_date", "--policies", "policies.toml"
    )
    assert "no column" in init("player_stats", "--time", "nothing").lower()
    project("revision", "-m", "one", "--rev-id", "one")
    project("revision", "-m", "two", "--rev-id", "two", "--head", "base", "--splice")
    assert "several heads" in init("player_stats", "--time", "game_date")
    assert len(list((project.folder / "migrations" / "versions").glob("*.py"))) == 2
