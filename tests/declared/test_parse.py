"""What a file may say of the declared state, and what is said of a file that is wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from hyperferry.config import load_settings
from hyperferry.declared.parse import parse_declared
from hyperferry.declared.spans import parse_span
from hyperferry.errors import Usage
from hyperferry.model.declared import (
    Compression,
    ContinuousAggregate,
    Declared,
    DeclaredIndex,
    OrderBy,
    Refresh,
    Reorder,
    Retention,
    Span,
)

HOUR = 3_600_000_000
DAY = 24 * HOUR

WHOLE = """
updates_within = "3 days"
[compression]
segment_by = ["player_id", '"Odd "" Näme"']
order_by = ["Game_Date DESC", "id NULLS FIRST", '"Da te" desc nulls last']
after = "30 days"
schedule = "12 hours"
on_the_way = true
[retention]
after = "2 years"
[reorder]
index = "player_stats_player_idx"
[[index]]
name = "player_stats_value_idx"
columns = ["player_id", "game_date DESC", "lower(stat_type)"]
include = ["value"]
where = "value > 0"
[[continuous_aggregate]]
name = "player_daily"
query = "SELECT time_bucket('1 day', game_date) AS day, sum(value) FROM player_stats GROUP BY 1;"
materialized_only = true
refresh = { start_offset = "30 days", end_offset = "0 hours", schedule = "1 hour" }
index = [ { columns = ["day DESC"], method = "BRIN" } ]
compression = { after = "60 days" }
retention = { after = "5 years", schedule = "1 day" }
"""


def read(text: str) -> Declared:
    return parse_declared(tomllib.loads(text), "hyperferry.toml")


def test_a_file_that_wants_everything() -> None:
    assert read(WHOLE) == Declared(
        updates_within=Span(microseconds=3 * DAY),
        compression=Compression(
            segment_by=("player_id", 'Odd " Näme'),
            order_by=(OrderBy("game_date", True), OrderBy("id", False, True), OrderBy("Da te", True, False)),
            after=Span(microseconds=30 * DAY),
            schedule=Span(microseconds=12 * HOUR),
            on_the_way=True,
        ),
        retention=Retention(Span(months=24)),
        reorder=Reorder("player_stats_player_idx"),
        indexes=(
            DeclaredIndex(
                "player_stats_value_idx",
                ("player_id", "game_date DESC", "lower(stat_type)"),
                ("value",),
                "value > 0",
            ),
        ),
        aggregates=(
            ContinuousAggregate(
                "player_daily",
                "SELECT time_bucket('1 day', game_date) AS day, sum(value) FROM player_stats GROUP BY 1",
                True,
                Refresh(Span(microseconds=HOUR), Span(microseconds=30 * DAY), Span()),
                (DeclaredIndex(None, ("day DESC",), method="brin"),),
                Compression(after=Span(microseconds=60 * DAY)),
                Retention(Span(months=60), Span(microseconds=DAY)),
            ),
        ),
    )


def test_what_the_file_does_not_mention_is_no_wish_and_false_is_one() -> None:
    assert read("") == Declared()
    assert read("compression = false").compression == Compression(enabled=False)
    assert read("[compression]\nafter = false").compression == Compression(after=False)
    assert read("retention = false\nreorder = false") == Declared(retention=False, reorder=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[compression]\nsegmentby = ['a']", ["[compression]", "'segmentby'", "did you mean segment_by?"]),
        ("[compression]\nafter = 3.5", ["after in [compression]", "length of time"]),
        ("[compression]\nafter = 'soon'", ["'soon' is no length of time"]),
        ("[compression]\nafter = true", ["after in [compression]"]),
        ("[compression]\nafter = '0 days'", ["after in [compression]"]),
        ("[compression]\nschedule = '1 day'", ["no `after`"]),
        ("[compression]\nafter = '1 day'\nschedule = 5", ["has no unit"]),
        ("[compression]\norder_by = ['a SIDEWAYS']", ["'a SIDEWAYS'", "ASC or DESC"]),
        ("[compression]\norder_by = ['a', 'A DESC']", ["'a' stands there twice"]),
        ("[compression]\nsegment_by = ['']", ["segment_by in [compression]", "empty"]),
        ("compression = 'yes'", ["[compression] is a text"]),
        ("[retention]\nschedule = '1 day'", ["[retention] lacks the key 'after'"]),
        ("retention = true", ["[retention] is true"]),
        ("[reorder]\nindx = 'a'", ["lacks the key 'index'", "'indx' stands there"]),
        ("[index]\nname = 'a'", ["[[index]]", "to be a list"]),
        ("[[index]]\ncolumns = []", ["[[index]] number 1", "empty"]),
        ("[[index]]\ncolumns = ['a', 3]", ["columns in [[index]] number 1", "a number"]),
        ("[[index]]\ncolumns = ['a']\nunique = 'no'", ["unique", "true or false"]),
        (
            "[[index]]\nname = 'x'\ncolumns = ['a']\n[[index]]\nname = 'X'\ncolumns = ['b']",
            ["number 2", "twice"],
        ),
        (f"[[index]]\nname = '{'ö' * 32}'\ncolumns = ['a']", ["64 bytes", "cut it to 63"]),
        ("[[continuous_aggregate]]\nname = 'a.b.c'\nquery = 'SELECT 1'", ["3 parts"]),
        ("[[continuous_aggregate]]\nname = 'd'\nquery = 'DROP TABLE t'", ["does not begin with SELECT"]),
        (
            "[[continuous_aggregate]]\nname = 'd'\nquery = 'SELECT 1'\nrefresh = { start_offset = '1 hour', end_offset = '1 hour', schedule = '1 h' }",
            ["refresh window", "empty"],
        ),
        (
            "[[continuous_aggregate]]\nname = 'd'\nquery = 'SELECT 1'\nrefresh = { start_offest = '1 hour', schedule = '1 h' }",
            ["'start_offest'", "did you mean start_offset"],
        ),
        (
            "[[continuous_aggregate]]\nname = 'd'\nquery = 'SELECT 1'\ncompression = { on_the_way = true }",
            ["on_the_way is for the table's own"],
        ),
        (
            "[[continuous_aggregate]]\nname = 'd'\nquery = 'SELECT 1'\n[[continuous_aggregate]]\nname = 'D'\nquery = 'SELECT 2'",
            ["stands there twice"],
        ),
    ],
)
def test_a_file_that_is_wrong_is_told_where_and_why(text: str, words: list[str]) -> None:
    with pytest.raises(Usage) as caught:
        read(text)
    said = str(caught.value)
    assert all(word.lower() in said.lower() for word in words), said
    assert caught.value.facts["file"] == "hyperferry.toml"


@pytest.mark.parametrize(
    ("written", "span", "shown"),
    [
        ("2 years", Span(24), "2 years"),
        ("1 month", Span(1), "1 month"),
        ("1 year 6 months 12 hours", Span(18, 12 * HOUR), "18 months 12 hours"),
        ("P1Y2M", Span(14), "14 months"),
        ("P1M1DT1H", Span(1, 25 * HOUR), "1 month 25 hours"),
        ("90 min", Span(0, 90 * 60_000_000), "90 minutes"),
        ("1 quarter", Span(3), "3 months"),
        (86400, Span(units=86400), "86400"),
        ("86_400", Span(units=86400), "86400"),
    ],
)
def test_lengths_of_time(written: object, span: Span, shown: str) -> None:
    assert parse_span(written) == span
    assert str(span) == shown
    assert parse_span(shown) == span


@pytest.mark.parametrize(
    "written", ["", "month", "1 monthly", "-1 month", "1.5 years", 0, -3, True, None, "2 years ago", 2**63]
)
def test_what_is_no_length_of_time(written: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_span(written)


def test_sections_are_about_the_files_own_table(tmp_path: Path) -> None:
    file = tmp_path / "hyperferry.toml"
    file.write_text(
        'table = "player_stats"\nchunk_interval = "7 days"\n[retention]\nafter = "1 year"\n', "utf-8"
    )
    own = load_settings({"table": "PLAYER_STATS"}, config=file)
    assert own.declared == Declared(chunk_interval="7 days", retention=Retention(Span(12)))
    assert own.about_another is None
    unknown = load_settings({"table": "public.player_stats"}, config=file)
    assert (unknown.declared.empty, unknown.about_another) == (True, "player_stats"), "nobody can tell without a database"
    other = load_settings({"table": "games"}, config=file)
    assert other.declared.empty
    assert other.about_another == "player_stats"


@pytest.mark.parametrize("there", [True, False])
def test_the_database_tells_whether_a_name_with_a_schema_is_the_files(tmp_path: Path, there: bool) -> None:
    file = tmp_path / "hyperferry.toml"
    file.write_text('table = "stats.events"\naccept = ["all"]\n', "utf-8")
    asked: list[tuple[str, str, str]] = []

    def same_there(dsn: str, one: str, other: str) -> bool:
        asked.append((dsn, one, other))
        return there

    found = load_settings({"table": "events", "dsn": "postgresql+psycopg://h/d"}, config=file, same_there=same_there)
    assert asked == [("postgresql://h/d", "events", "stats.events")]
    assert (found.accepted, found.about_another) == ((frozenset({"all"}), None) if there else (frozenset(), "stats.events"))
    for table, same in (('"stats".Events', True), ("public.events", False), ("stats.event", False), ("d.stats.other", False)):
        found = load_settings({"table": table}, config=file, same_there=same_there)
        assert (found.about_another is None) is same
    assert len(asked) == 1, "for these nobody need be asked"


def test_the_environment_can_name_another_table_than_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hyperferry.toml"
    file.write_text('table = "player_stats"\naccept = ["all"]\n[retention]\nafter = "1 year"\n', "utf-8")
    monkeypatch.setenv("HYPERFERRY_TABLE", "orders")
    other = load_settings({}, config=file)
    assert (other.table, other.accepted, other.declared.empty, other.about_another) == ("orders", frozenset(), True, "player_stats")
    monkeypatch.setenv("HYPERFERRY_TABLE", "public.player_stats")
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    own = load_settings({}, config=file, same_there=lambda dsn, *names: dsn == "postgresql://h/d")
    assert (own.accepted, own.declared.empty, own.about_another) == (frozenset({"all"}), False, None)
    monkeypatch.setenv("HYPERFERRY_TABLE", "orders")
    assert load_settings({"table": "player_stats"}, config=file).accepted == {"all"}
