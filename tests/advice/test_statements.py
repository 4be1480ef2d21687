"""What a statement asks of the table, read off its text as pg_stat_statements, a view or a person writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperferry.advice.shapes import Bucket, Shape, shape_of
from hyperferry.model.names import TableName

from .made import use

TABLE = TableName("public", "stats")
COLUMNS = ["id", "ts", "player_id", "stat_type", "value", "deleted", 'Odd "Name"']


def read(text: str) -> Shape:
    found = shape_of(use(text), [TABLE], COLUMNS, "ts")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "equal", "ranged"),
    [
        ("SELECT * FROM stats WHERE player_id = $1", ("player_id",), ()),
        ("SELECT * FROM public.stats s WHERE s.player_id = $1 AND ts >= $2 AND s.ts < $3", ("player_id",), ("ts",)),
        ("SELECT * FROM stats WHERE $1 = player_id AND $2 < ts", ("player_id",), ("ts",)),
        ("SELECT * FROM stats WHERE player_id IN ($1, $2) AND ts BETWEEN $3 AND $4", ("player_id",), ("ts",)),
        ("SELECT * FROM stats WHERE player_id = ANY($1::int[]) AND stat_type = 'goals'", ("player_id", "stat_type"), ()),
        ("SELECT * FROM stats WHERE stat_type::text = $1 AND (value > $2 OR value < $3)", ("stat_type",), ("value",)),
        ("SELECT p.name FROM players p JOIN stats s ON s.player_id = p.id WHERE p.team = $1", ("player_id",), ()),
        ("SELECT * FROM players JOIN stats USING (player_id) WHERE ts > $1", ("player_id",), ("ts",)),
        ("SELECT * FROM players p WHERE p.player_id = $1 AND EXISTS (SELECT FROM stats s WHERE s.value > $2)", (), ("value",)),
        ("SELECT * FROM stats WHERE ts > (SELECT max(ts) FROM other WHERE player_id = 3)", (), ("ts",)),
        ('SELECT * FROM stats WHERE "Odd ""Name""" = $1', ('Odd "Name"',), ()),
        ("UPDATE stats SET value = $1 WHERE id = $2", ("id",), ()),
        ("DELETE FROM stats WHERE ts < now() - interval '90 days'", (), ("ts",)),
        ("WITH x AS (SELECT * FROM stats WHERE stat_type = $1) SELECT * FROM x WHERE player_id = $2", ("stat_type",), ()),
        ("SELECT 1 FROM stats WHERE id = $1 UNION ALL SELECT 2 FROM other WHERE player_id = $2", ("id",), ()),
    ],
)
def test_conditions(text: str, equal: tuple[str, ...], ranged: tuple[str, ...]) -> None:
    shape = read(text)
    assert (shape.equal, shape.ranged) == (equal, ranged)


@pytest.mark.parametrize(
    ("text", "nulls", "flags"),
    [
        ("SELECT * FROM stats WHERE value IS NULL", (("value", True),), ()),
        ("SELECT * FROM stats WHERE value IS NOT NULL AND deleted", (("value", False),), (("deleted", True),)),
        ("SELECT * FROM stats WHERE NOT deleted AND id = $1", (), (("deleted", False),)),
        ("SELECT * FROM stats WHERE deleted IS TRUE", (), (("deleted", True),)),
        ("SELECT * FROM stats WHERE deleted IS NOT TRUE", (), (("deleted", False),)),
    ],
)
def test_conditions_without_a_value(text: str, nulls: object, flags: object) -> None:
    shape = read(text)
    assert (shape.null_tests, shape.flags) == (nulls, flags)


@pytest.mark.parametrize(
    ("text", "grouped", "bucket"),
    [
        ("SELECT time_bucket('1 day', ts) AS d, player_id, sum(value) FROM stats GROUP BY 1, 2", ("player_id",), Bucket("time_bucket", "1 day")),
        ("SELECT time_bucket($1, ts) AS d, sum(value) FROM stats GROUP BY d", (), Bucket("time_bucket", None)),
        ("SELECT date_trunc('day'::text, stats.ts) AS d, count(*) FROM public.stats GROUP BY (date_trunc('day'::text, stats.ts))", (), Bucket("date_trunc", "day")),
        ("SELECT public.time_bucket(interval '1 hour', ts), max(value) FROM stats GROUP BY public.time_bucket(interval '1 hour', ts)", (), Bucket("time_bucket", "1 hour")),
        ("SELECT time_bucket(86400, ts), max(value) FROM stats GROUP BY 1", (), Bucket("time_bucket", "86400")),
        ("SELECT time_bucket('1 day', ts, 'Europe/Berlin'), max(value) FROM stats GROUP BY 1", (), Bucket("time_bucket", "1 day", ("'Europe/Berlin'",))),
        ("SELECT time_bucket($1, ts, $2, $3::timestamptz), max(value) FROM stats GROUP BY 1", (), Bucket("time_bucket", None, ("$2", "$3::timestamptz"))),
        ("SELECT date_bin('7 days', ts, timestamptz '2024-01-06'), max(value) FROM stats GROUP BY 1", (), Bucket("date_bin", "7 days", ("timestamptz '2024-01-06'",))),
        ("SELECT date_trunc('day'::text, (ts)::timestamp with time zone), max(value) FROM stats GROUP BY 1", (), Bucket("date_trunc", "day", cast=True)),
        ("SELECT time_bucket('1 day', ts AT TIME ZONE 'UTC'), max(value) FROM stats GROUP BY 1", (), Bucket("time_bucket", "1 day", plain=False)),
        ("SELECT time_bucket('1 day', ts, stat_type), max(value) FROM stats GROUP BY 1", (), Bucket("time_bucket", "1 day", ("stat_type",), plain=False)),
        ("SELECT time_bucket(3600 * 24, ts), max(value) FROM stats GROUP BY 1", (), Bucket("time_bucket", "3600 * 24")),
        ("SELECT time_bucket('1 day', ts) + make_interval(hours => 6), max(value) FROM stats GROUP BY 1", (), None),
        ("SELECT stat_type, count(*) FROM stats GROUP BY stat_type", ("stat_type",), None),
        ("SELECT date_trunc('day', id) FROM stats GROUP BY 1", (), None),
    ],
)  # fmt: skip
def test_groups(text: str, grouped: tuple[str, ...], bucket: Bucket | None) -> None:
    shape = read(text)
    assert (shape.grouped, shape.bucket) == (grouped, bucket)


@pytest.mark.parametrize(
    ("rest", "asked", "finer"),
    [
        ("GROUP BY 1", (), False),
        ("WHERE ts >= $1 AND ts < now() GROUP BY 1", ("ts",), False),
        ("WHERE stat_type <> 'void' AND ts::date BETWEEN $1 AND $2 GROUP BY 1", ("stat_type", "ts"), False),
        ("WHERE ts >= $1 OR lower(stat_type) ~ $2 GROUP BY 1", ("ts", "stat_type"), False),
        ("WHERE date_trunc('day', ts) = $1 GROUP BY 1, player_id", ("ts", "player_id"), False),
        ("WHERE extract(hour FROM ts) = 8 GROUP BY 1", ("ts",), True),
        ("WHERE (ts, id) > ($1, $2) GROUP BY 1", ("ts", "id"), True),
        ("WHERE ts > now() - value GROUP BY 1", ("ts", "value"), True),
        ("GROUP BY 1, value > 5, stat_type", ("stat_type", "value"), False),
        ("GROUP BY 1, extract(hour FROM ts)", ("ts",), True),
        ("GROUP BY 1, ts", ("ts",), True),
        ("GROUP BY 1, date_trunc('month', ts)", ("ts",), True),
    ],
)
def test_what_is_asked_for_is_known_even_where_it_is_not_understood(rest: str, asked: tuple[str, ...], finer: bool) -> None:
    shape = read(f"SELECT time_bucket('1 day', ts), sum(value) FROM stats {rest}")
    assert (shape.asked, shape.finer) == (asked, finer)
    assert shape.bucket == Bucket("time_bucket", "1 day")


def test_what_is_selected_and_how_it_is_ordered() -> None:
    shape = read("SELECT s.value, s.stat_type AS kind FROM stats s WHERE s.player_id = $1 ORDER BY s.ts DESC, id LIMIT $2")
    assert shape.selected == ("value", "stat_type")
    assert shape.ordered == (("ts", True), ("id", False))
    assert shape.limited
    assert shape.simple
    assert read("SELECT * FROM stats").selected is None
    assert read("SELECT count(*) FROM stats").selected == ()


def test_aggregates_are_written_for_the_table_alone() -> None:
    shape = read(
        "SELECT time_bucket('1 day', s.ts) AS d, sum(s.value) AS total, count(*) FILTER (WHERE s.deleted), player_id "
        "FROM stats s GROUP BY 1, 4"
    )
    assert shape.aggregates == ("sum(value)", "count(*) FILTER (WHERE deleted)")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT sum(value) OVER (ORDER BY ts) FROM stats",
        "SELECT count(DISTINCT player_id) FROM stats",
        "SELECT count(*) FROM stats JOIN players USING (player_id)",
        "SELECT count(*) FROM stats, players",
        "SELECT * FROM (SELECT count(*) FROM stats) AS x",
    ],
)
def test_what_is_more_than_one_table_is_not_simple(text: str) -> None:
    assert not read(text).simple


def test_a_view_is_not_the_table() -> None:
    found = shape_of(use("SELECT count(*) FROM void"), [TABLE, TableName("public", "void")], COLUMNS, "ts")
    assert found is not None
    assert not found.simple


@given(st.text(alphabet="selct fromwhr(),.*$1'\"=<>;-/a\n stats ts", max_size=80))
def test_whatever_is_written_nothing_is_raised(text: str) -> None:
    shape_of(use(text), [TABLE], COLUMNS, "ts")
    shape_of(use(f"SELECT {text} FROM stats WHERE {text}"), [TABLE], COLUMNS, "ts")
    shape_of(use(f"SELECT time_bucket({text}) FROM stats WHERE ts::{text} GROUP BY 1, {text}"), [TABLE], COLUMNS, "ts")


def test_a_statement_on_another_table_says_nothing() -> None:
    assert shape_of(use("SELECT stats FROM other WHERE player_id = $1"), [TABLE], COLUMNS, "ts") is None
    assert shape_of(use("SELECT 'it ends here"), [TABLE], COLUMNS, "ts") is None
