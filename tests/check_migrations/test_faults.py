"""Each kind of fault is found, at its line, on a real server."""

from __future__ import annotations

from pathlib import Path

from servers import Database

from .conftest import Project, begun, found, of

STATS = """
op.execute('CREATE SCHEMA IF NOT EXISTS "my.schema"')
op.create_table(
    'Weird "Näme" 100%',
    sa.Column("id", sa.BigInteger, nullable=False),
    sa.Column("the time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("value", sa.Integer),
    sa.PrimaryKeyConstraint("id", "the time", name="stats key"),
    schema="my.schema",
)
"""
NAME = "'Weird \"Näme\" 100%'"
SQL = '"my.schema"."Weird ""Näme"" 100%"'
"""The table in SQL; what pytest, the shell and the project's own text make of it is part of the test."""
LARGE = ("--large", SQL)


def stats(project: Project) -> None:
    """The first revision of each of these projects."""
    project.add(
        "first", STATS, f'op.drop_table({NAME}, schema="my.schema")\nop.execute(\'DROP SCHEMA "my.schema"\')'
    )


def sql(statement: str) -> str:
    """A revision's line that runs a statement about the table."""
    return f"op.execute({statement.replace('@', SQL)!r})"


def test_a_clean_project_passes(project: Project) -> None:
    """The operations for hypertables, brief locks, CONCURRENTLY on a plain table, a revision that only adds rows."""
    stats(project)
    project.add(
        "convert",
        f'op.create_hypertable({NAME}, "the time", schema="my.schema", chunk_interval="7 days")',
        f'op.revert_hypertable({NAME}, schema="my.schema")',
    )
    project.add(
        "index",
        f'with op.get_context().autocommit_block():\n    op.create_hypertable_index("by value", {NAME}, ["value"], schema="my.schema", per_chunk=True)',
        'op.drop_hypertable_index("by value", "x", schema="my.schema")',
    )
    project.add(
        "column",
        sql("SET LOCAL lock_timeout = '3s'") + "\n" + sql("ALTER TABLE @ ADD COLUMN note text"),
        sql("ALTER TABLE @ DROP COLUMN note"),
    )
    project.add(
        "plain",
        'op.create_table("players", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))\nop.create_index("own", "players", ["id"])\nop.alter_column("players", "name", type_=sa.String(80))',
        'op.drop_table("players")',
    )
    project.add(
        "concurrently",
        'with op.get_context().autocommit_block():\n    op.create_index("later", "players", ["name"], postgresql_concurrently=True)',
        'with op.get_context().autocommit_block():\n    op.drop_index("later", "players", postgresql_concurrently=True)',
    )
    project.add(
        "rows",
        "op.execute(\"INSERT INTO players SELECT i, 'a:b' FROM generate_series(1, 10) i\")",
        'op.execute("DELETE FROM players")',
    )
    report = project.check(*LARGE, "--large", "players")
    assert found(report, "error", "accepted") == []
    assert found(report, "warning") == [("guard-refuses", "convert"), ("heavy-lock", "column")]
    assert [(each["online"], each["offline"]) for each in report["revisions"]] == [(True, True)] * 7
    locks = {
        each["revision"]: [(lock["table"], lock["mode"]) for lock in each["locks"]]
        for each in report["revisions"]
    }
    name = '"my.schema"."Weird ""Näme"" 100%"'
    assert (name, "ACCESS EXCLUSIVE") in locks["convert"]
    assert locks["column"] == [(name, "ACCESS EXCLUSIVE")]
    assert locks["plain"] == locks["rows"] == []
    assert "CREATE INDEX CONCURRENTLY later ON players (name)" in report["revisions"][5]["unseen"]


FAULTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # revision: its upgrade, its downgrade, the rules that it breaks
    "rewrite": (
        sql("ALTER TABLE @ ALTER COLUMN value TYPE bigint"),
        sql("ALTER TABLE @ ALTER COLUMN value TYPE integer"),
        ("heavy-lock",),
    ),
    "together": (  # with a SET before it, in one message
        sql("SET LOCAL lock_timeout = '3s'; ALTER TABLE @ ALTER COLUMN value TYPE numeric"),
        sql("ALTER TABLE @ ALTER COLUMN value TYPE bigint"),
        ("heavy-lock",),
    ),
    "scan": (
        sql("SET LOCAL lock_timeout = '1s'") + "\n" + sql("ALTER TABLE @ ALTER COLUMN value SET NOT NULL"),
        sql("ALTER TABLE @ ALTER COLUMN value DROP NOT NULL"),
        ("heavy-lock",),
    ),
    "queue": (
        sql("ALTER TABLE @ ADD COLUMN one text"),
        sql("ALTER TABLE @ DROP COLUMN one"),
        ("heavy-lock",),
    ),
    "held": (
        sql("SET LOCAL lock_timeout = '1s'")
        + "\n"
        + sql("ALTER TABLE @ ADD COLUMN two text")
        + "\n"
        + sql("UPDATE @ SET two = 'x' WHERE two IS NULL"),
        sql("ALTER TABLE @ DROP COLUMN two"),
        ("heavy-lock",),
    ),
    "index": (
        f'op.create_index(\n    "ix", {NAME}, ["value"], schema="my.schema"\n)',
        'op.drop_index("ix", schema="my.schema")',
        ("blocking-index",),
    ),
    "autocommit": (
        "with op.get_context().autocommit_block():\n    " + sql("CREATE INDEX seen_too ON @ (value)"),
        'op.drop_index("seen_too", schema="my.schema")',
        ("blocking-index",),
    ),
    "missing": ('op.create_table("left_there", sa.Column("id", sa.Integer))', "pass", ("downgrade-missing",)),
    "gives_up": (
        'op.create_table("gives_up", sa.Column("id", sa.Integer))',
        'raise NotImplementedError("no way")',
        ("downgrade-missing",),
    ),
    "fails_down": (
        'op.create_table("down", sa.Column("id", sa.Integer))',
        'op.drop_table("downs")',
        ("downgrade-fails",),
    ),
    "half": (
        'op.create_table("a", sa.Column("id", sa.Integer))\nop.create_table("b", sa.Column("id", sa.Integer))',
        'op.drop_table("b")',
        ("downgrade-differs",),
    ),
    "twice": (
        'n = op.get_bind().exec_driver_sql("SELECT count(*) FROM log").scalar() if not op.get_context().as_sql else 0\n'
        'op.execute("INSERT INTO log VALUES (1)")\nop.create_table(f"run_{n}", sa.Column("id", sa.Integer))',
        "for name in ('run_0', 'run_1'):\n    op.execute(f'DROP TABLE IF EXISTS {name}')",
        ("upgrade-again-differs",),
    ),
    "convert": (
        sql("SELECT create_hypertable('@', 'the time', create_default_indexes => false)"),
        f'op.revert_hypertable({NAME}, schema="my.schema")',
        ("unguarded-conversion",),
    ),
    "of_state": (
        'if not op.get_context().as_sql:\n    op.create_table("only_online", sa.Column("id", sa.Integer))',
        'op.execute("DROP TABLE IF EXISTS only_online")',
        ("offline-differs",),
    ),
    "asks": (
        'there = op.get_bind().exec_driver_sql("SELECT 1").scalar()\nop.create_table("asked", sa.Column("id", sa.Integer))',
        'op.drop_table("asked")',
        ("offline-fails",),
    ),
}


def test_each_fault_is_found_where_it_is(project: Project) -> None:
    stats(project)
    project.add("log", 'op.create_table("log", sa.Column("id", sa.Integer))', 'op.drop_table("log")')
    for revision, (up, back, _) in FAULTS.items():
        project.add(revision, up, back)
    report = project.check(*LARGE, code=3)
    assert of(report, "first") == of(report, "log") == []
    for revision, (up, _, rules) in FAULTS.items():
        assert [each["rule"] for each in of(report, revision)] == list(rules), (
            revision,
            of(report, revision),
        )
        (finding,) = of(report, revision)
        assert finding["level"] == "error"
        assert finding["file"] == str(project.file(revision))
        if finding["rule"] in ("heavy-lock", "blocking-index", "unguarded-conversion"):
            first = next(
                line
                for line in up.splitlines()
                if ("SET LOCAL" not in line or "ALTER" in line) and "autocommit" not in line
            )
            assert finding["line"] == project.line(revision, first.strip()[:60]), (revision, finding)
    text = {each["revision"]: " ".join([each["message"], *each["details"]]) for each in report["findings"]}
    assert "is rewritten" in text["rewrite"]
    assert "is read from end to end" in text["scan"]
    assert "queues behind it" in text["queue"]
    assert "UPDATE" in text["held"]
    assert "gone: table left_there" not in text["missing"]
    assert "left behind: table a in public" in text["half"]
    assert "run_1" in text["twice"]
    assert "table only_online" in text["of_state"]


def test_concurrently_on_a_hypertable(here: Project) -> None:
    stats(here)
    here.add(
        "convert",
        f'op.create_hypertable({NAME}, "the time", schema="my.schema")',
        f'op.revert_hypertable({NAME}, schema="my.schema")',
    )
    here.add(
        "impossible",
        f'with op.get_context().autocommit_block():\n    op.create_index(\n        "ix", {NAME}, ["value"], schema="my.schema", postgresql_concurrently=True\n    )',
    )
    here.add("never", "op.execute('SELECT 1')")
    report = here.check(code=3)
    assert found(report) == [("concurrently-on-hypertable", "impossible"), ("offline-fails", "impossible")]
    assert report["findings"][0]["line"] == here.line("impossible", "op.create_index(")
    assert any("Nothing after impossible was run online" in each for each in report["notes"])
    assert [each["online"] for each in report["revisions"]] == [True, True, False, False]


def test_concurrently_on_what_a_rollout_makes_a_hypertable(here: Project) -> None:
    """The revisions leave the table plain; hyperferry.toml says what it is in production, and that it is large."""
    stats(here)
    here.add(
        "later",
        f'with op.get_context().autocommit_block():\n    op.create_index("ix", {NAME}, ["value"], schema="my.schema", postgresql_concurrently=True)',
        'op.drop_index("ix", schema="my.schema")',
    )
    here.add("waits", f'op.require_rollout({NAME}, schema="my.schema", time="the time")')
    here.add("brief", sql("ALTER TABLE @ ADD COLUMN one text"), sql("ALTER TABLE @ DROP COLUMN one"))
    (here.folder / "hyperferry.toml").write_text(f"table = '{SQL}'\n", "utf-8")
    report = here.check(code=3)
    assert found(report) == [("concurrently-on-hypertable", "later"), ("heavy-lock", "brief")]
    assert found(report, "warning") == [("guard-refuses", "waits")]


def test_a_second_run_that_changes_something(here: Project) -> None:
    stats(here)
    here.add("log", 'op.create_table("log", sa.Column("id", sa.Integer))', 'op.drop_table("log")')
    here.env(
        before='if connection.exec_driver_sql("SELECT to_regclass(\'log\') IS NOT NULL").scalar():\n            connection.exec_driver_sql("INSERT INTO log VALUES (1)")\n        connection.commit()'
    )
    report = here.check("--no-offline", code=3)
    assert found(report) == [("second-run-changes", None)]
    assert report["findings"][0]["details"] == ["public.log: 1 rows by INSERT INTO log VALUES (1)"]


def test_sizes_from_the_statistics_of_production(here: Project, db_of_here: Database) -> None:
    """They are read and nothing else. What is known to be small may be locked; a hypertable counts by its chunks."""
    db_of_here.execute(f'CREATE SCHEMA "my.schema"; CREATE TABLE {SQL} (id int, "the time" timestamptz NOT NULL, value int); CREATE TABLE players (id int)')
    db_of_here.execute(f"SELECT create_hypertable('{SQL}', 'the time')")
    db_of_here.execute(f"INSERT INTO {SQL} SELECT i, timestamptz '2024-01-01' + i % 3 * interval '30 days', i FROM generate_series(1, 300) i")
    db_of_here.execute("UPDATE pg_class SET reltuples = 1000000, relpages = 100 WHERE oid IN (SELECT inhrelid FROM pg_inherits)")
    stats(here)
    here.add("small", 'op.create_table("players", sa.Column("id", sa.Integer, nullable=False))', 'op.drop_table("players")')
    here.add("locked", 'op.execute("ALTER TABLE players ALTER id TYPE bigint")', 'op.execute("ALTER TABLE players ALTER id TYPE integer")')
    here.add("rewrite", *FAULTS["rewrite"][:2])
    here.add("convert", *FAULTS["convert"][:2])
    report = here.check("--sizes-from", db_of_here.dsn, "--no-offline", code=3)
    assert found(report) == [("heavy-lock", "rewrite"), ("unguarded-conversion", "convert")]
    locks = {each["revision"]: [(lock["mode"], lock["rows"], lock["rewritten"]) for lock in each["locks"]] for each in report["revisions"]}
    assert locks["locked"] == [("ACCESS EXCLUSIVE", 0, True)]
    assert locks["rewrite"] == [("ACCESS EXCLUSIVE", 3_000_000, True)]


def test_policies_are_part_of_the_schema(community_db: Database, tmp_path: Path) -> None:
    """No dump shows them. The role may create databases and nothing more."""
    role = community_db.make_role()
    community_db.execute(f'ALTER ROLE "{role}" CREATEDB')
    project = begun(tmp_path / "a project", community_db.dsn_as(role))
    stats(project)
    project.add("convert", f'op.create_hypertable({NAME}, "the time", schema="my.schema")', f'op.revert_hypertable({NAME}, schema="my.schema")')
    on = f'op.add_compression({NAME}, schema="my.schema", segment_by=["id"], after="30 days")'
    project.add("right", on, f'op.remove_compression({NAME}, schema="my.schema")')
    project.add("wrong", f'op.add_retention({NAME}, "1 year", schema="my.schema")', "op.execute('SELECT 1')")
    report = project.check(code=3)
    assert found(report) == [("downgrade-differs", "wrong")]
    (detail,) = of(report, "wrong")[0]["details"]
    assert detail == f"left behind: job policy_retention of {SQL}"
