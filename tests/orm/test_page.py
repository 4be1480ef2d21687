"""docs/sqlalchemy.md, done as a reader would; and names that need quotes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, select

from bench import hook
from bench import place as bench_place
from hyperferry import engine
from hyperferry.flag.reads import allow
from hyperferry.flag.setting import put
from hyperferry.model.plan_options import PlanOptions

from .conftest import Place, PlayerStat

PAGE = Path(__file__).parents[2] / "docs" / "sqlalchemy.md"


def test_the_page_runs(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    page = PAGE.read_text("utf-8")
    (command,) = re.findall(r"```sh\n(.*?)```", page, re.S)
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    plan = engine.make_plan(place.db.dsn, "player_stats", "game_date", PlanOptions())
    engine.start(place.db.dsn, None, plan, say=lambda line: None)
    words = [place.app if word == "app" else word for word in shlex.split(command)]
    assert words[0] == "hyperferry"
    done = subprocess.run(
        [sys.executable, "-m", *words, "--dsn", place.db.dsn], capture_output=True, text=True, check=True
    )
    assert f"{place.app} may read both sides of public.player_stats (rollout 1, synced)." in done.stdout
    put(place.db.dsn, "on")
    said = {"DSN": place.db.dsn_as(place.app), "URL": place.url(), "PlayerStat": PlayerStat}
    exec(block, said)
    assert said["stat"].value == 5  # type: ignore[attr-defined]
    assert capsys.readouterr().out.startswith("1 0 {'same': 0")


def test_the_pages_measurement_runs(place: Place) -> None:
    """`python -m bench.hook`, in sizes that only show that it runs."""
    where = bench_place.Place(place.db.dsn, "", "", "", "", Path(), Path())
    found = hook.measure(where, rows=2000, sessions=3, rounds=1)
    states = [line.split("|")[1].strip() for line in hook.table(found)[2:]]
    assert all(f"\n| {state} | " in PAGE.read_text("utf-8") for state in states)
    assert len(states) == 8
    assert min(each.best for each in found) > 0


def test_names_that_need_quotes(place: Place) -> None:
    """And a second table of the same schema and one of the same name elsewhere, in one statement."""
    quoted = '"my.schema"."Weird ""Näme 100%"'
    place.db.execute(
        f'CREATE SCHEMA "my.schema"; CREATE TABLE {quoted} (id int PRIMARY KEY, at timestamptz NOT NULL); '
        f'CREATE TABLE "my.schema".beside (id int); CREATE TABLE "Weird ""Näme 100%" (id int, at timestamptz); '
        f'INSERT INTO {quoted} VALUES (1, now()); INSERT INTO "my.schema".beside VALUES (1), (2); '
        'INSERT INTO "Weird ""Näme 100%" VALUES (2, now()); '
        f'GRANT USAGE ON SCHEMA "my.schema" TO "{place.app}"; '
        f'GRANT SELECT ON ALL TABLES IN SCHEMA "my.schema", public TO "{place.app}"'
    )
    plan = engine.make_plan(place.db.dsn, quoted, "at", PlanOptions())
    engine.start(place.db.dsn, None, plan, say=lambda line: None)
    allow(place.db.dsn, quoted, place.app)
    place.db.execute(f"INSERT INTO {quoted} VALUES (2, now())")
    meta = MetaData()
    weird, beside, elsewhere = (
        Table(name, meta, Column("id", Integer, primary_key=True), Column("at", DateTime), schema=schema)
        for name, schema in (
            ('Weird "Näme 100%', "my.schema"),
            ("beside", "my.schema"),
            ('Weird "Näme 100%', None),
        )
    )
    sessions = place.sessions()
    place.route(sessions, weird)
    both = select(weird.c.id).join(beside, beside.c.id == weird.c.id).order_by(weird.c.id)
    with sessions() as session:
        assert session.scalars(both).all() == [1]
        assert session.scalars(select(elsewhere.c.id)).all() == [2]
        assert session.scalars(both, execution_options={"hyperferry": "record"}).all() == [1, 2]


def test_what_reads_refuses(place: Place) -> None:
    def run(*words: str, role: str | None = None) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hyperferry", "reads", *words, "--dsn", place.db.dsn_as(role)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 3, done
        return done.stderr

    assert "no rollout of public.player_stats under way" in run("player_stats", "--role", place.app)
    place.start()
    assert "no role nobody here" in run("player_stats", "--role", "nobody here")
    stranger = place.db.make_role()
    assert f"{stranger} may not read public.player_stats" in run("player_stats", "--role", stranger)
    run("player_stats", "--role", place.app, role=place.app)
    for name in ("rollout(text, text)", "stands(bigint)", "hold(text, text, text, bigint, text)"):
        assert place.db.execute(
            f"SELECT has_function_privilege(%s, 'hyperferry_reads.{name}', 'EXECUTE'), "
            f"has_function_privilege(%s, 'hyperferry_reads.{name}', 'EXECUTE')",
            place.app,
            stranger,
        ) == [(True, False)]
    assert place.db.execute("SELECT has_schema_privilege(%s, 'hyperferry', 'USAGE')", place.app) == [(False,)]
