"""Files of queries, and values that are inferred."""

from __future__ import annotations

import pytest

from hyperferry.benchmark import query_file
from hyperferry.benchmark.infer import Column, infer
from hyperferry.benchmark.options import LeftOut, Query, Value
from hyperferry.errors import Usage
from hyperferry.model.names import TableName

STATS = TableName("public", "player_stats")
COLUMNS = [Column("id"), Column("player_id"), Column("stat_type"), Column("game_date", "interval '7 days'"), Column("Odd Name")]
FROM = "SELECT * FROM player_stats s JOIN players p USING (x) WHERE "


def values(where: str) -> dict[int, str]:
    """The expressions that are inferred."""
    found, reasons = infer(FROM + where, [STATS], COLUMNS)
    assert not reasons, reasons
    return {number: value.expression for number, value in found.items()}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("player_id = $1", {1: '"player_id"'}),
        ("s.player_id = $1 AND $2 >= s.id", {1: '"player_id"', 2: '"id"'}),
        ('"Odd Name" = $1', {1: '"Odd Name"'}),
        ("game_date::date = $1", {1: '"game_date"::date'}),
        ("game_date >= $1 AND game_date < $2", {1: '"game_date"', 2: "\"game_date\" + interval '7 days'"}),
        ("game_date < $2 AND game_date > $1", {1: '"game_date"', 2: "\"game_date\" + interval '7 days'"}),
        ("game_date < $1", {1: '"game_date"'}),
        ("game_date BETWEEN $1 AND $2", {1: '"game_date"', 2: "\"game_date\" + interval '7 days'"}),
        ("game_date NOT BETWEEN $1::timestamptz AND $2", {1: '"game_date"', 2: "\"game_date\" + interval '7 days'"}),
        ("stat_type LIKE $1 OR stat_type NOT ILIKE $2", {1: '"stat_type"', 2: '"stat_type"'}),
        ("player_id = ANY($1)", {1: 'ARRAY["player_id"]'}),
        ("player_id = $1 LIMIT $2 OFFSET $3", {1: '"player_id"', 2: "100", 3: "0"}),
        ("player_id = $1 OR (player_id = $1)", {1: '"player_id"'}),
    ],
)
def test_what_is_plain_is_inferred(where: str, expected: dict[int, str]) -> None:
    assert values(where) == expected


def test_a_list_takes_a_row_for_each_value() -> None:
    found, reasons = infer(FROM + "player_id NOT IN ($1, $2::int, $3)", [STATS], COLUMNS)
    assert not reasons
    assert [found[n].row for n in (1, 2, 3)] == [1, 2, 3]


def test_guesses_are_said() -> None:
    found, _ = infer(FROM + "game_date >= $1 AND game_date < $2 LIMIT $3", [STATS], COLUMNS)
    assert [bool(found[n].assumed) for n in (1, 2, 3)] == [False, True, True]


@pytest.mark.parametrize(
    "where",
    ["p.player_id = $1", "name = $1", "player_id + 1 = $1", "lower(stat_type) = $1", "game_date > now() - $1", "f($1)", "(player_id, id) = ($1, 2)"],
)
def test_what_is_not_plain_has_a_reason(where: str) -> None:
    found, reasons = infer(FROM + where, [STATS], COLUMNS)
    assert not found
    assert reasons[1]


BARE = "SELECT * FROM player_stats s WHERE id IN (SELECT x FROM players{} WHERE player_id = $1)"


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (BARE.format(""), False),
        (BARE.format(" p"), False),
        (BARE.format(" p, player_stats t"), True),
        (BARE.format("").replace("player_id", "s.player_id"), True),
        ("SELECT 1 FROM player_stats UNION SELECT 2 FROM players WHERE player_id = $1", False),
        ("SELECT 2 FROM players UNION SELECT 1 FROM player_stats WHERE player_id = $1", True),
        ("SELECT * FROM (players p JOIN player_stats s ON true) WHERE (player_id = $1)", True),
        ("WITH a AS (SELECT * FROM player_stats) SELECT * FROM a WHERE player_id = $1", True),
        ("WITH a AS (SELECT * FROM player_stats) SELECT * FROM a, players p WHERE player_id = $1", False),
        ("SELECT * FROM (SELECT extract(year FROM game_date) FROM player_stats) x WHERE player_id = $1", True),
        ("SELECT * FROM player_stats WHERE 1 IS DISTINCT FROM id AND player_id = $1", True),
    ],
)
def test_a_bare_name_where_the_table_is_not_read_is_not_its_column(text: str, known: bool) -> None:
    found, reasons = infer(text, [STATS], COLUMNS)
    assert bool(found) is known
    assert known or "write it qualified" in reasons[1]


FILE = """
-- what a file may begin with
-- name: latest of a player
-- param 1: player_id
SELECT * FROM player_stats WHERE player_id = $1; -- a word
-- param 2 (row 2): game_date + interval '1 day'
SELECT ';', $2 FROM player_stats
"""


def test_a_file_is_read() -> None:
    first, second = query_file.parse(FILE, "q.sql")
    assert (first.name, dict(first.values)) == ("latest of a player", {1: Value("player_id")})
    assert (second.name, dict(second.values)) == ("query 2", {2: Value("game_date + interval '1 day'", 2)})
    assert second.sql.endswith("SELECT ';', $2 FROM player_stats")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no statement"),
        ("-- name: a\nSELECT 1; -- name: a\nSELECT 2", "two queries"),
        ("-- param 2: id\nSELECT $1", "no $2"),
        ("-- param 1:\nSELECT $1", "no expression"),
        ("-- param id\nSELECT $1", "not understood"),
        ("-- param 1 (row 0): id\nSELECT $1", "row"),
        ("SELECT 'a", "ends within"),
    ],
)
def test_a_file_that_is_not_understood_is_refused(text: str, why: str) -> None:
    with pytest.raises(Usage) as refused:
        query_file.parse(text, "q.sql")
    assert why in str(refused.value)


def test_what_is_written_is_read_again() -> None:
    queries = [
        Query("a", "SELECT * FROM t WHERE id = $1", {1: Value("id", 2, "assumed: so")}),
        Query("b", "SELECT 1 -- end"),
    ]
    left_out = [
        LeftOut("c", "SELECT f($1)\nFROM t /* , */", "the value of $1 is not known", "say it", (1,)),
        LeftOut("d", "DELETE FROM t; -- x", "it writes", "leave it"),
    ]
    text = query_file.write(queries, left_out, "t")
    again = query_file.parse(text, "t.sql")
    assert [query.name for query in again] == ["a", "b"]
    assert again[0].values[1].row == 2
    assert again[0].values[1].expression.startswith("id")
    opened = text.replace("-- -- ", "-- ").replace("-- SELECT f", "SELECT f").replace("-- FROM t", "FROM t").replace("1: ?", "1: id").replace("-- ;", ";")
    assert [query.name for query in query_file.parse(opened, "t.sql")] == ["a", "b", "c"]


def test_what_is_written_is_read_again_whatever_it_says() -> None:
    """Comments of the application that look like ours, a CTE of a telling name, lists longer than anybody would write."""
    listed = {number: Value("id", number) for number in range(1, 151)}
    text = query_file.write(
        [
            Query("a", "-- name: theirs\nSELECT 1 FROM t"),
            Query("b", "-- name: theirs\n-- param 1: theirs\nSELECT 2 FROM t"),
            Query("c", f"SELECT * FROM t WHERE id IN ({', '.join(f'${n}' for n in listed)})", listed),
        ],
        [LeftOut("d", "WITH a AS (SELECT 1),\nparams AS (SELECT f($1))\nTABLE params", "not known", "say it", (1,))],
        "t",
    )
    again = query_file.parse(text, "t.sql")
    assert [query.name for query in again] == ["a", "b", "c"]
    assert again[2].values[150].row == 150


def test_a_list_that_was_cut_short_is_said() -> None:
    """As pg_stat_statements of PostgreSQL 18 shows it."""
    found, _ = infer(FROM + "player_id IN ($1 /*, ... */)", [STATS], COLUMNS)
    assert found[1].expression == '"player_id"' or found[1].expression == "player_id"
    assert "one value" in found[1].assumed


def test_the_end_of_a_range_whose_width_nobody_knows_is_not_guessed() -> None:
    found, reasons = infer(FROM + "player_id >= $1 AND player_id < $2", [STATS], COLUMNS)
    assert set(found) == {1}
    assert "how wide" in reasons[2]
