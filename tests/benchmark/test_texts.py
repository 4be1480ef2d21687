"""SQL text: tokens, what a statement says, the same statement for another schema."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperferry.benchmark.statements import (
    called,
    names_one,
    parameters,
    preparable,
    qualifiers,
    refusal,
    retarget,
    split,
)
from hyperferry.benchmark.tokens import Kind, tokens
from hyperferry.benchmark.views import View, inline
from hyperferry.model.names import TableName

STATS = TableName("public", "player_stats")
WEIRD = TableName("my.schema", 'Weird "Näme')

PIECES = st.sampled_from(
    ["SELECT", "a", '"A""b"', "'it''s'", "E'\\''", "$$ ; ' $$", "$t$ $$ $t$", "$1", "::", "-- x\n", "/* /* ; */ */", "1.5", "1e3", "(", ")", ",", ";", ".", "<=", "@>", "public", "player_stats", "U&'x'", "x'1f'", "a$1", "é"]
)


@given(st.lists(PIECES, max_size=30).map(" ".join))
def test_tokens_lose_nothing(text: str) -> None:
    assert "".join(token.text for token in tokens(text)) == text


@given(st.text(max_size=40))
def test_any_text_is_cut_or_refused_in_words(text: str) -> None:
    try:
        found = tokens(text)
    except ValueError as error:
        found = []
        text = "" if str(error) else "no words"
    assert "".join(token.text for token in found) == text


@given(st.lists(PIECES, max_size=30).map(" ".join))
def test_another_schema_changes_nothing_else(text: str) -> None:
    moved = retarget(text, STATS, "public")
    assert moved.replace('"public"', "public") == text.replace('"public"', "public")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("$1", [Kind.PARAM]),
        ("a$1", [Kind.WORD]),
        ("$$a$$", [Kind.STRING]),
        ("$a$ $b$ $a$", [Kind.STRING]),
        ("'a''b'", [Kind.STRING]),
        ("e'a\\'b'", [Kind.STRING]),
        ("/* a /* b */ c */", [Kind.COMMENT]),
        ("a--b", [Kind.WORD, Kind.COMMENT]),
        ("1-/*x*/2", [Kind.NUMBER, Kind.OPERATOR, Kind.COMMENT, Kind.NUMBER]),
    ],
)
def test_tokens_are_cut_as_the_server_cuts_them(text: str, kinds: list[Kind]) -> None:
    assert [token.kind for token in tokens(text)] == kinds


@pytest.mark.parametrize("text", ["'a", '"a', "/* a", "/* /* */", "$$ a", "$t$ a $$", "E'\\'"])
def test_text_that_does_not_end_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ends within"):
        tokens(text)


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("SELECT * FROM public.player_stats", 'SELECT * FROM "new".player_stats'),
        ("SELECT * FROM PUBLIC . Player_Stats p", 'SELECT * FROM "new" . Player_Stats p'),
        ('SELECT "public"."player_stats".id FROM "public"."player_stats"', 'SELECT "new"."player_stats".id FROM "new"."player_stats"'),
        ("SELECT * FROM db.public.player_stats", 'SELECT * FROM db."new".player_stats'),
        ("SELECT * FROM player_stats", "SELECT * FROM player_stats"),
        ("SELECT 'public.player_stats' -- public.player_stats", "SELECT 'public.player_stats' -- public.player_stats"),
        ("SELECT $$public.player_stats$$ /* public.player_stats */", "SELECT $$public.player_stats$$ /* public.player_stats */"),
        ("SELECT public.player_stats(1)", "SELECT public.player_stats(1)"),
        ("SELECT * FROM public.player_stats_old", "SELECT * FROM public.player_stats_old"),
        ("SELECT * FROM other.player_stats", "SELECT * FROM other.player_stats"),
        ('SELECT * FROM "Public".player_stats', 'SELECT * FROM "Public".player_stats'),
        ("SELECT x.public.player_stats", "SELECT x.public.player_stats"),
    ],
)  # fmt: skip
def test_the_schema_is_replaced_where_it_is_the_tables(text: str, moved: str) -> None:
    assert retarget(text, STATS, "new", "db") == moved


def test_a_weird_name_is_found() -> None:
    text = 'SELECT * FROM "my.schema"."Weird ""Näme" AS w WHERE w.x = $1'
    assert retarget(text, WEIRD, 'n"w') == text.replace('"my.schema"', '"n""w"')
    assert names_one(text, [WEIRD])
    assert qualifiers(text, [WEIRD]) == {"w"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SELECT 1", None),
        ("  (SELECT 1) UNION SELECT 2 ;  ", None),
        ("WITH a AS (SELECT 1) TABLE a", None),
        ("VALUES (1)", None),
        ("SELECT ';' /* ; */", None),
        ("SELECT update FROM t WHERE \"delete\" = 'insert into'", None),
        ("", "empty"),
        ("-- nothing", "empty"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELECT 1; DROP TABLE t", "2 statements"),
        ("DELETE FROM t", "begins with DELETE"),
        ("EXPLAIN ANALYZE DELETE FROM t", "begins with EXPLAIN"),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", "DELETE in it"),
        ("SELECT * FROM t FOR UPDATE", "locks rows"),
        ("SELECT * FROM t FOR NO KEY UPDATE", "locks rows"),
        ("SELECT * FROM t FOR KEY SHARE", "locks rows"),
        ("SELECT 'a", "ends within the string"),
    ],
)
def test_only_one_reading_statement_is_let_through(text: str, why: str | None) -> None:
    found = refusal(text)
    assert (found is None) if why is None else (found is not None and why in found)


def test_a_file_is_cut_at_semicolons_outside_strings() -> None:
    assert split("SELECT ';'; -- a;b\nSELECT $$;$$;;\n") == ["SELECT ';'", "-- a;b\nSELECT $$;$$"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT * FROM player_stats", True),
        ("SELECT * FROM a, ONLY public.player_stats", True),
        ("SELECT * FROM a JOIN player_stats USING (id)", True),
        ("SELECT * FROM other.player_stats", False),
        ("SELECT player_stats FROM other", False),
        ("SELECT 'FROM player_stats'", False),
        ("SELECT * FROM player_stats(1)", False),
        ("SELECT 'x", False),
    ],
)
def test_a_table_is_named_where_a_relation_may_stand(text: str, found: bool) -> None:
    assert names_one(text, [STATS]) is found


def test_aliases() -> None:
    assert qualifiers("SELECT * FROM player_stats AS s JOIN public.player_stats t ON true", [STATS]) == {"s", "t"}
    assert qualifiers("SELECT * FROM player_stats WHERE true", [STATS]) == {"player_stats"}


def test_parameters_and_calls() -> None:
    assert parameters("SELECT $2, $1, '$3', $2 /* $4 */") == [1, 2]
    assert called("SELECT a.f(1), \"G\"(2), 'h(3)'") == {("a", "f"), (None, "G")}


def test_what_pg_stat_statements_made_of_an_interval_can_be_prepared() -> None:
    assert preparable("SELECT now() - interval $1;") == "SELECT now() -   ($1::interval)"
    assert preparable("SELECT 1 -- why\n;\n") == "SELECT 1 -- why"
    for kind in ("timestamp with time zone", "timestamp(3) without time zone", "double precision", "interval(3)", "bool"):
        assert "".join(preparable(f"SELECT a.date + {kind} $1").split()) == "SELECTa.date+($1::" + kind.replace(" ", "") + ")"


TOTALS = View(TableName("public", "totals"), 1, " SELECT sum(s.value) AS sum FROM public.player_stats s;", 1)
OUTER = View(TableName("other", "outer"), 2, "SELECT totals.sum FROM public.totals;", 2)


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        ("SELECT * FROM totals", "WITH", "\nSELECT * FROM totals"),
        ('SELECT public.totals.sum FROM "public".totals', "WITH", "\nSELECT totals.sum FROM totals"),
        ("WITH a AS (TABLE totals) TABLE a", "WITH", ",\n a AS (TABLE totals) TABLE a"),
        ("with recursive a AS (TABLE totals) TABLE a", "with recursive", ",\n a AS (TABLE totals) TABLE a"),
        ("(SELECT 1) UNION TABLE totals", "WITH", "\n(SELECT 1) UNION TABLE totals"),
    ],
)
def test_a_view_is_written_into_the_query(text: str, begins: str, ends: str) -> None:
    moved = inline(text, [TOTALS], STATS, "new")
    assert moved is not None
    assert moved.startswith(f'{begins} "totals" AS NOT MATERIALIZED (')
    assert 'FROM "new".player_stats s' in moved
    assert moved.endswith(ends)


@pytest.mark.parametrize(
    "text",
    [
        "WITH totals AS (SELECT * FROM public.totals) SELECT * FROM totals",
        "WITH a AS (SELECT 1), totals (b) AS NOT MATERIALIZED (SELECT * FROM public.totals) SELECT * FROM totals",
        "SELECT * FROM public.totals, (WITH RECURSIVE totals AS MATERIALIZED (SELECT 1) TABLE totals) x",
    ],
)
def test_a_view_is_not_written_beside_a_with_of_its_name(text: str) -> None:
    assert inline(text, [TOTALS], STATS, "new") is None


def test_a_view_on_a_view_comes_after_it() -> None:
    moved = inline("TABLE other.outer", [OUTER, TOTALS], STATS, "new")
    assert moved is not None
    assert moved.index('"totals" AS') < moved.index('"outer" AS')
    assert "SELECT totals.sum FROM totals" in moved
    assert moved.endswith("TABLE outer")


@pytest.mark.parametrize(
    "views",
    [
        [],
        [View(TableName("a", "totals"), 3, "SELECT 1", 1), TOTALS],
        [View(TableName("a", "player_stats"), 3, "SELECT 1", 1)],
        [View(TableName("a", "safe"), 3, "SELECT 1", 1, barrier=True)],
    ],
)
def test_views_that_cannot_be_written_in(views: list[View]) -> None:
    assert inline("SELECT 1", views, STATS, "new") is None
