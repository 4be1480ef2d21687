"""Names are compared in the database: a name without a schema is not taken for one of another schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers import Database

from .conftest import Hyperferry, dump
from .test_wrong_input import assert_failure

BESIDE = "CREATE SCHEMA stats; CREATE TABLE stats.player_stats (id bigint PRIMARY KEY, game_date timestamptz NOT NULL)"
"""A table of the same name in a schema that is not in the search path."""


def test_finish_is_not_confirmed_by_another_schemas_table(hyperferry: Hyperferry, synced: Database) -> None:
    """The old table of public would be gone for good."""
    synced.execute(BESIDE)
    assert hyperferry("cutover", "player_stats", "--accept", "all", dsn=synced.dsn).code == 0
    before = dump(synced)
    ran = hyperferry("finish", "player_stats", "--confirm", "stats.player_stats", "--json", dsn=synced.dsn)
    assert_failure(ran, 3, "was not confirmed", "public.player_stats, stats.player_stats")
    assert dump(synced) == before
    for wrong in ("nowhere.player_stats", "other.public.player_stats"):
        assert hyperferry("finish", "player_stats", "--confirm", wrong, dsn=synced.dsn).code == 3
    assert dump(synced) == before
    assert hyperferry("finish", "player_stats", "--confirm", "public.player_stats", dsn=synced.dsn).code == 0


def test_what_a_file_says_of_another_schemas_table_does_not_count(
    hyperferry: Hyperferry, synced: Database, tmp_path: Path
) -> None:
    synced.execute(BESIDE)
    file = tmp_path / "hyperferry.toml"
    file.write_text('table = "stats.player_stats"\naccept = ["widened-key"]\nchunk_interval = "9 days"\n')
    assert_failure(hyperferry("cutover", "player_stats", "--json", dsn=synced.dsn), 3, "widened-key")
    applied = hyperferry("apply", "player_stats", "--json", dsn=synced.dsn)
    assert_failure(applied, 2, "The file is about stats.player_stats")
    file.write_text('table = "public.player_stats"\naccept = ["widened-key"]\n')
    over = hyperferry("cutover", "player_stats", dsn=synced.dsn)
    assert over.code == 0, over.stderr


def test_a_name_without_a_schema_that_means_nothing_means_what_the_call_names(
    hyperferry: Hyperferry, db: Database, tmp_path: Path
) -> None:
    """The table's schema is not in the search_path of this role: what the file says of it counts all the same."""
    db.execute(BESIDE + "; INSERT INTO stats.player_stats VALUES (1, '2024-01-06')")
    (tmp_path / "hyperferry.toml").write_text('table = "player_stats"\ntime_column = "game_date"\nchunk_interval = "9 days"\n')
    ran = hyperferry("plan", "stats.player_stats", "--json", dsn=db.dsn)
    assert ran.code == 0, ran.stderr
    assert ran.json["chunk_interval"] == "INTERVAL '9 days'"
    db.execute("CREATE TABLE public.player_stats (game_date timestamptz NOT NULL)")
    assert_failure(hyperferry("plan", "stats.player_stats", "--json", dsn=db.dsn), 2, "No time column was named")


def test_a_server_that_is_dead_is_said_so_where_names_are_to_be_compared(hyperferry: Hyperferry, tmp_path: Path) -> None:
    (tmp_path / "hyperferry.toml").write_text('table = "public.t"\n')
    dead = "postgresql://127.0.0.1:1/x"
    assert_failure(hyperferry("pause", "t", "--json", dsn=dead), 1, "Cannot connect")
    assert_failure(hyperferry("finish", "t", "--confirm", "public.t", "--json", dsn=dead), 1, "Cannot connect")


@pytest.mark.parametrize("name", ["app.json", '"a/b"'])
def test_a_table_that_is_called_like_a_file(hyperferry: Hyperferry, db: Database, tmp_path: Path, name: str) -> None:
    db.execute(f"CREATE SCHEMA app; CREATE TABLE {name} (id bigint PRIMARY KEY, at timestamptz NOT NULL)")
    db.execute(f"INSERT INTO {name} SELECT i, timestamptz '2024-01-01' + i * interval '1 hour' FROM generate_series(1, 99) AS i")
    ran = hyperferry("start", name, "--time", "at", "--json", dsn=db.dsn)
    assert ran.code == 0, ran.stderr
    assert ran.json["phase"] == "synced"
    if name == "app.json":  # where there is such a file, that is meant
        (tmp_path / name).write_text("[]")
        assert_failure(hyperferry("start", name, "--json", dsn=db.dsn), 3, "not a plan")


def test_a_file_that_begins_with_a_byte_order_mark(hyperferry: Hyperferry, stats: Database, tmp_path: Path) -> None:
    """As Windows' editors write it."""
    (tmp_path / "hyperferry.toml").write_text('table = "player_stats"\ntime_column = "game_date"\n', "utf-8-sig")
    ran = hyperferry("plan", "--json", dsn=stats.dsn)
    assert ran.code == 0, ran.stderr
    assert ran.json["table"] == "public.player_stats"
