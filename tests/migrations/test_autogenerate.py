"""Projects made by `alembic init`: what is proposed, and that nothing is after each step."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from servers import Database

from .conftest import Place, Project

HYPERTABLE = '{"info": {"hyperferry": {"time": "game_date", "chunk_interval": "%s"}}}'


def proposed(project: Project) -> str:
    """The body of upgrade() that autogenerate proposes; '' for nothing."""
    done = project("check", check=False)
    if done.returncode == 0:
        return ""
    before = set(project.versions.glob("*.py"))
    project("revision", "--autogenerate", "-m", "proposed")
    (made,) = set(project.versions.glob("*.py")) - before
    text = made.read_text("utf-8")
    made.unlink()
    return text.partition("def upgrade() -> None:")[2].partition("def downgrade")[0]


def test_from_nothing_to_a_hypertable_and_back(project: Project, db: Database) -> None:
    """The model says it, autogenerate writes it, upgrade and downgrade do it, and then nothing is proposed."""
    project.model(HYPERTABLE % "7 days")
    project("revision", "--autogenerate", "-m", "first")
    first = project.newest()
    assert "import hyperferry.alembic" in first
    assert "op.create_hypertable('player_stats', 'game_date', chunk_interval='7 days')" in first
    assert "op.revert_hypertable('player_stats')" in first
    project("upgrade", "head")
    assert "No new upgrade operations" in project("check").stdout
    project.model(HYPERTABLE % "1 day")
    project("revision", "--autogenerate", "-m", "narrower")
    second = project.newest()
    assert "op.set_chunk_interval('player_stats', '1 day', existing='7 days')" in second
    assert "op.set_chunk_interval('player_stats', '7 days', existing='1 day')" in second
    project("upgrade", "head")
    assert "No new upgrade operations" in project("check").stdout
    after = Place(db).state()
    project("downgrade", "base")
    assert db.execute("SELECT to_regclass('player_stats')") == [(None,)]
    project("upgrade", "head")
    assert Place(db).state() == after


def test_the_whole_project_offline(project: Project, db: Database) -> None:
    project.model(HYPERTABLE % "7 days")
    project("revision", "--autogenerate", "-m", "first")
    place = Place(db)
    up = project("upgrade", "head", "--sql").stdout
    down = project("downgrade", "head:base", "--sql").stdout
    anew = "DROP TABLE IF EXISTS alembic_version;"
    for script in (anew, up, down, anew, up):
        done = subprocess.run(
            [str(db.server.program("psql")), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", db.dsn],
            input=script,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    by_script = place.state()
    project("downgrade", "base")
    project("upgrade", "head")
    assert place.state() == by_script


def test_what_timescaledb_and_hyperferry_made_is_nobodys(project: Project, db: Database) -> None:
    """With all schemas looked at: default indexes, chunks, the ledger, a shadow, an old table."""
    project("revision", "--autogenerate", "-m", "plain")
    project("upgrade", "head")
    db.execute(
        "SELECT create_hypertable('player_stats', 'game_date', chunk_time_interval => interval '7 days')"
    )
    db.execute(
        "INSERT INTO player_stats (player_id, game_date) SELECT 1, timestamptz '2024-01-01' + i * interval '1 day' FROM generate_series(1, 99) i"
    )
    db.execute(
        "CREATE SCHEMA hyperferry; CREATE TABLE hyperferry.rollout (id int); CREATE SCHEMA hyperferry_flag; CREATE TABLE hyperferry_flag.setting (id int)"
    )
    db.execute(
        "CREATE SCHEMA hyperferry_new_1; CREATE TABLE hyperferry_new_1.player_stats (id int); CREATE SCHEMA hyperferry_old_12; CREATE TABLE hyperferry_old_12.player_stats (id int)"
    )
    assert proposed(project) == ""
    env = project.folder / "migrations" / "env.py"
    env.write_text(
        env.read_text("utf-8").replace(
            "target_metadata=target_metadata", "target_metadata=target_metadata, include_schemas=True"
        ),
        "utf-8",
    )
    assert proposed(project) == ""
    db.execute(
        "CREATE SCHEMA hyperferry_news; CREATE TABLE hyperferry_news.t (id int); CREATE INDEX mine ON player_stats (player_id);"
        "CREATE INDEX player_stats_recent ON player_stats (game_date DESC);"
        "CREATE INDEX player_stats_game_date_idx2 ON player_stats (game_date DESC) INCLUDE (player_id)"
    )
    found = proposed(project)
    assert found.count("op.drop_") == 4, found
    assert "'player_stats_recent'" in found
    assert "'player_stats_game_date_idx2'" in found
    assert "op.drop_table('t', schema='hyperferry_news')" in found
    assert re.search(r"op.drop_index\(.*'mine'", found)


def test_what_a_person_took_away_is_reported(project: Project, db: Database) -> None:
    project.model('(sa.Index("by_player", "player_id"), %s)' % (HYPERTABLE % "7 days"))
    project("revision", "--autogenerate", "-m", "first")
    project("upgrade", "head")
    assert proposed(project) == ""
    db.execute("DROP INDEX by_player; SELECT set_chunk_time_interval('player_stats', interval '2 days')")
    found = proposed(project)
    assert "op.create_index('by_player'" in found
    assert "op.set_chunk_interval('player_stats', '7 days', existing='2 days')" in found
    db.execute("DROP TABLE player_stats")
    assert "op.create_hypertable('player_stats', 'game_date', chunk_interval='7 days')" in proposed(project)


def test_a_model_that_is_wrong_is_told(project: Project) -> None:
    project.model('{"info": {"hyperferry": {"time": "game_date", "chunk_intervall": "1 day"}}}')
    done = project("check", check=False)
    assert done.returncode != 0
    assert "has what is not known: chunk_intervall" in done.stderr + done.stdout


@pytest.mark.community
def test_policies_of_the_model(community_db: Database, tmp_path: Path) -> None:
    project = Project(tmp_path, Place(community_db).url)
    options = (
        '{"info": {"hyperferry": {"time": "game_date", "retention": "2 years", '
        '"compression": {"segment_by": ["player_id"], "after": "%s"}}}}'
    )
    project.model(options % "30 days")
    project("revision", "--autogenerate", "-m", "first")
    text = project.newest()
    assert "op.add_compression('player_stats', segment_by=['player_id'], after='30 days')" in text
    assert "op.add_retention('player_stats', '2 years')" in text
    project("upgrade", "head")
    assert "No new upgrade operations" in project("check").stdout
    # Policies of others, in microseconds and in none, which the server may read before it looks whose they are.
    community_db.execute(
        "CREATE SCHEMA other; CREATE TABLE other.in_us (at bigint NOT NULL);"
        "SELECT create_hypertable('other.in_us', 'at', chunk_time_interval => 86400000000);"
        "CREATE FUNCTION us() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 1::bigint'; SELECT set_integer_now_func('other.in_us', 'us');"
        "SELECT add_retention_policy('other.in_us', 63072000000000)"
    )
    assert "No new upgrade operations" in project("check").stdout
    project.model(options % "60 days")
    assert "op.add_compression('player_stats', segment_by=['player_id'], after='60 days', existing={'after': '30 days'})" in proposed(
        project
    )
    community_db.execute("SELECT remove_retention_policy('player_stats')")
    project.model(options % "30 days")
    found = proposed(project)
    assert "op.add_retention('player_stats', '2 years')" in found
    assert "add_compression" not in found
    project("downgrade", "base")
    project("upgrade", "head")
    project.model((options % "30 days").replace('["player_id"]', '["player_id"], "order_by": ["id DESC"]'))
    assert "segment_by=['player_id'], order_by=['id DESC'], after='30 days'" in proposed(project)
    project("revision", "--autogenerate", "-m", "order")
    project("upgrade", "head")
    assert "No new upgrade operations" in project("check").stdout
    project.model((options % "30 days").replace('["player_id"]', '["id"], "order_by": ["player_id DESC"]'))
    assert "segment_by=['id']" in proposed(project)
    project.model((options % "30 days").replace('["player_id"]', "[]"))
    assert (
        "op.add_compression('player_stats', segment_by=[], after='30 days', "
        "existing={'segment_by': ['player_id'], 'order_by': ['\"id\" DESC', '\"game_date\" DESC']})"
    ) in proposed(project)
    project("revision", "--autogenerate", "-m", "no segments")
    project("upgrade", "head")
    assert "No new upgrade operations" in project("check").stdout


@pytest.mark.community
def test_a_change_of_policies_has_a_way_back_to_what_was(community_db: Database, tmp_path: Path) -> None:
    project = Project(tmp_path, Place(community_db).url)
    options = (
        '{"info": {"hyperferry": {"time": "game_date", "retention": "%s", '
        '"compression": {"segment_by": %s, "order_by": ["game_date"], "after": "%s"}}}}'
    )

    def revised(*words: str) -> Any:
        project.model(options % words)
        project("revision", "--autogenerate", "-m", "next")
        project("upgrade", "head")
        assert "No new upgrade operations" in project("check").stdout
        return Place(community_db).state()

    first = revised("2 years", '["player_id"]', "30 days")
    revised("3 years", '["player_id"]', "60 days")
    assert "op.add_retention('player_stats', '2 years', existing='3 years')" in project.newest()
    project("downgrade", "-1")
    assert Place(community_db).state() == first
    project("upgrade", "head")
    second = Place(community_db).state()
    revised("3 years", '["id"]', "60 days")
    project("downgrade", "-1")
    assert Place(community_db).state() == second
    settings = "SELECT segmentby::text, orderby::text, orderby_desc::text FROM _timescaledb_catalog.compression_settings"
    assert community_db.execute(settings) == [("{player_id}", "{game_date}", "{f}")]
    project("downgrade", "-1")
    # What is paused, or was none, is not brought to run.
    community_db.execute(
        "SELECT remove_compression_policy('player_stats');"
        "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
    )
    for each in project.versions.glob("*_next.py"):
        if "existing" in each.read_text("utf-8"):
            each.unlink()
    revised("3 years", '["player_id"]', "60 days")
    assert "existing={'after': False}" in project.newest()
    project("downgrade", "-1")
    assert Place(community_db).state()[2] == []
    project("upgrade", "head")
    project.model((options % ("3 years", '["player_id"]', "60 days")).replace('"60 days"', "False"))
    assert "after=False, existing={'after': '60 days'})" in proposed(project)


@pytest.mark.parametrize(
    "first", ["alembic", "hyperferry.alembic", "hyperferry.alembic.ops", "alembic.autogenerate", "sqlalchemy"]
)
def test_whatever_is_imported_first(first: str) -> None:
    code = (
        f"import {first}; import hyperferry.alembic; from alembic import op; from alembic.operations import Operations\n"
        "assert callable(op.create_hypertable) and Operations.create_hypertable\n"
        "from alembic.autogenerate import comparators\n"
        "print('done')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr


def test_without_alembic_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['alembic'] = None; import hyperferry.alembic"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'hyperferry[alembic]'" in done.stderr
