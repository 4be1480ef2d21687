"""What needs no server: sizes by name, texts of statements, kept SQL, addresses, annotations."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import make_url

from hyperferry.alembic import statements as ours
from hyperferry.cli.render.check_migrations import github_lines
from hyperferry.errors import Usage
from hyperferry.migrations import CheckReport, Finding, Level, Revision, rows_of, sizes_of
from hyperferry.migrations.accept import accepted_in
from hyperferry.migrations.client import driver_of, url_of
from hyperferry.migrations.judge import Before, Seen, judge
from hyperferry.migrations.options import Table
from hyperferry.migrations.pinned import compare, kept, text_of
from hyperferry.migrations.statements import (
    concurrent_index_on,
    guard_of,
    makes_index,
    milliseconds,
    sets_alone,
    whole_rewrites_of,
)
from hyperferry.migrations.story import place_after
from hyperferry.model.names import TableName, quote_ident

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=("Cs",)), min_size=1, max_size=20)
WORDS = st.text("abc xyz@:/?#%&=[]\\'\"ä", min_size=1, max_size=12)
TABLE = TableName("s", "t")
REVISION = Revision("abc", "", "abc.py", 7, 9)


@given(NAMES, NAMES)
def test_a_table_is_found_by_its_name_whatever_it_is(schema: str, name: str) -> None:
    table = TableName(schema, name)
    for text in (table.quoted, quote_ident(name)):
        assert sizes_of([text], []).is_large(table)
        assert sizes_of([], [rows_of(f"{text}=100_000")]).is_large(table)
        assert not sizes_of(["*"], [rows_of(f"{text}=99999")]).is_large(table)
    assert not sizes_of([quote_ident(name + "x")], []).is_large(table)
    known = sizes_of([], [rows_of(f"{table.quoted}=7")]).under([(table, 10_000_000)])
    assert known.known(table) == 7, "what was given counts more than the statistics"


@given(WORDS, WORDS, WORDS, st.sampled_from(["postgresql", "postgresql+asyncpg", "postgresql+psycopg2"]))
def test_an_address_says_the_same_to_sqlalchemy(user: str, password: str, database: str, driver: str) -> None:
    dsn = make_conninfo(host="db.example", port=5433, user=user, password=password, dbname=database, hostaddr="192.0.2.1", sslmode="require")
    url = make_url(url_of(dsn, driver))
    assert (url.drivername, url.username, url.password, url.host, url.port, url.database) == (driver, user, password, "db.example", 5433, database)
    assert dict(url.query) == ({"ssl": "require"} if "asyncpg" in driver else {"sslmode": "require"})


def test_the_driver_is_the_projects() -> None:
    assert driver_of(None, "driver://u:p@h/d", None, ["psycopg2"]) == ("postgresql+psycopg2", "postgresql+psycopg2")
    assert driver_of(None, "postgresql+asyncpg://h/d", "postgres://h/d", ["psycopg"]) == ("postgresql+asyncpg", "postgres")
    assert driver_of(None, None, "postgresql+asyncpg://h/d", []) == ("postgresql+asyncpg",) * 2
    assert driver_of("asyncpg", "postgresql://h", None, []) == ("postgresql+asyncpg",) * 2


@given(st.lists(st.tuples(st.from_regex(r"[a-z0-9_]{1,12}", fullmatch=True), NAMES, NAMES), max_size=5, unique_by=lambda each: each[0]))
def test_what_is_kept_is_read_back(scripts: list[tuple[str, str, str]]) -> None:
    scripts = [(name, message, script.replace("-- revision", "")) for name, message, script in scripts]
    text = text_of(scripts)
    assert list(kept(text)) == [name for name, _, _ in scripts]
    assert compare(text, scripts) == []
    if scripts:
        assert [each.revision for each in compare(text_of(scripts[1:]), scripts)] == [scripts[0][0]]
        assert [each.what for each in compare(text, scripts[1:])] == ["is in it, and no revision of the project"]


@pytest.mark.parametrize("lifted", [False, True])
def test_the_guard_is_found_in_what_the_operations_write(lifted: bool) -> None:
    """Of the operations' own SQL, so that a change of it does not go unseen."""
    guard = ours.Guard(5_000, {"FORCE_T_HT": "1"} if lifted else {})
    for text in (
        ours.create_hypertable(ours.Table("t"), "time", guard=guard),
        ours.revert_hypertable(ours.Table("t"), guard=guard),
    ):
        found = guard_of(text)
        assert (found is None) if lifted else (found is not None and found.rows == 5_000)
    assert guard_of("SELECT create_hypertable('t', 'time')") is None


def test_what_texts_say() -> None:
    assert concurrent_index_on('create unique index /* x */ concurrently if not exists "a b" ON only "my.schema" . "T ""x""" (c)') == ("my.schema", 'T "x"')
    assert concurrent_index_on("CREATE INDEX CONCURRENTLY ON Stats (c)") == ("stats",)
    assert concurrent_index_on("CREATE INDEX x ON stats (c)") is None
    assert not makes_index("-- CREATE INDEX\nSELECT 1")
    assert whole_rewrites_of("VACUUM (FULL, ANALYZE) public.stats") == [("public", "stats")]
    assert whole_rewrites_of("VACUUM FULL VERBOSE ANALYZE stats") == [("stats",)]
    assert whole_rewrites_of('vacuum (full) a, "B" . c (x, y), only d;') == [("a",), ("B", "c"), ("d",)]
    assert whole_rewrites_of("VACUUM FULL") == []
    assert whole_rewrites_of("CLUSTER (VERBOSE) stats USING stats_pkey") == [("stats",)]
    assert whole_rewrites_of("CLUSTER") == []
    assert whole_rewrites_of("VACUUM public.stats") is None
    assert whole_rewrites_of("VACUUM fully") is None
    assert sets_alone(" SET LOCAL lock_timeout = '3s';\n")
    assert not sets_alone("SET LOCAL lock_timeout = '3s'; ALTER TABLE stats ALTER value TYPE bigint")
    assert not sets_alone("SETTINGS")
    assert [milliseconds(each) for each in ("0", "300ms", "3s", "5min", "what")] == [0, 300, 3000, 300_000, 0]


def test_rules_are_accepted_by_comments() -> None:
    assert accepted_in("x = 1  # hyperferry: accept heavy-lock, pin-differs\n#hyperferry:accept a\n") == {"heavy-lock", "pin-differs", "a"}
    assert accepted_in("# we accept heavy-lock") == set()


def test_since_names_one_revision() -> None:
    revisions = [Revision(name, "", "") for name in ("aa1", "aa12", "b")]
    assert [place_after(wish, revisions) for wish in (None, "aa1", "aa12", "b")] == [0, 1, 2, 3]
    for wish in ("a", "c"):
        with pytest.raises(Usage):
            place_after(wish, revisions)


def test_a_guard_above_the_tables_rows_guards_nothing() -> None:
    before = Before({1: Table(1, TABLE, 1, False)}, sizes_of([], [("s.t", 400_000)]))
    after = {1: Table(1, TABLE, 1, True)}

    def rules(most: int) -> list[tuple[str, str]]:
        sql = ours.create_hypertable(ours.Table("t", "s"), "time", guard=ours.Guard(most, {}))
        seen = Seen(sql, 8, 0, True, 0.0, ((1, "ACCESS EXCLUSIVE"),), frozenset({1}), frozenset(), frozenset())
        return [(each.rule, each.level) for each in judge(REVISION, [seen], before, after)]

    assert rules(100_000) == [("guard-refuses", "warning")]
    assert rules(1_000_000) == [("heavy-lock", "error")]


@pytest.mark.parametrize(("most", "limit", "rule"), [
    (100_000, None, ("guard-refuses", "warning")),
    (10_000_000_000, None, ("unguarded-conversion", "error")),
    (10_000_000_000, 20_000_000_000, ("guard-refuses", "warning")),
    (5_000, 1_000, ("unguarded-conversion", "error")),
])  # fmt: skip
def test_a_guard_that_lets_large_tables_pass_is_none_where_rows_are_not_known(
    most: int, limit: int | None, rule: tuple[str, str]
) -> None:
    before = Before({1: Table(1, TABLE, 1, False)}, sizes_of(["s.t"], [], limit=limit))
    sql = ours.create_hypertable(ours.Table("t", "s"), "time", guard=ours.Guard(most, {}))
    seen = Seen(sql, 8, 0, True, 0.0, ((1, "ACCESS EXCLUSIVE"),), frozenset({1}), frozenset(), frozenset())
    found = judge(REVISION, [seen], before, {1: Table(1, TABLE, 1, True)})
    assert [(each.rule, each.level) for each in found] == [rule]
    # The way back is behind the same guard.
    back = ours.revert_hypertable(ours.Table("t", "s"), guard=ours.Guard(most, {}))
    there = Before({1: Table(1, TABLE, 1, True)}, sizes_of(["s.t"], [], limit=limit))
    seen = Seen(back, 8, 0, True, 0.0, ((1, "ACCESS EXCLUSIVE"),), frozenset({1}), frozenset({1}), frozenset())
    errors = [each.rule for each in judge(REVISION, [seen], there, {1: Table(1, TABLE, 1, False)})]
    assert errors == (["heavy-lock"] if rule[1] == "error" else [])


def test_a_conversion_is_seen_though_its_table_was_locked_before() -> None:
    """As the usual revision has it: the key is made anew first."""
    before = Before({1: Table(1, TABLE, 1, False)}, sizes_of([], []))
    key = Seen("ALTER TABLE s.t DROP CONSTRAINT t_pkey", 7, 0, True, 0.0, ((1, "ACCESS EXCLUSIVE"),), frozenset({1}), frozenset(), frozenset())
    convert = Seen("SELECT create_hypertable('s.t', 'at')", 8, 0, True, 0.0, (), frozenset({1}), frozenset({1}), frozenset())
    found = judge(REVISION, [key, convert], before, {1: Table(1, TABLE, 1, True)})
    assert [(each.rule, each.line) for each in found] == [("unguarded-conversion", 8)]
    assert judge(REVISION, [key, convert], before, {1: Table(1, TABLE, 1, False)}) == []


def test_annotations_cannot_be_broken_out_of(tmp_path: Path) -> None:
    finding = Finding("heavy-lock", Level.ERROR, 'a "b"\n::error::100%', "x", "abc", str(tmp_path / "a,b: c.py"), None, ("d\r\n",))
    (line,) = github_lines(CheckReport(findings=[finding]), tmp_path)
    assert line == '::error file=a%2Cb%3A c.py,line=1,title=hyperferry heavy-lock::a "b"%0A::error::100%25%0Ad%0D%0A%0AWhat to do: x'
