"""Conditions as trees: what is said to hold of every row holds of every row, whatever AND, OR, NOT and parentheses are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperferry.advice.conditions import tree
from hyperferry.advice.shapes import Shape, shape_of
from hyperferry.benchmark.statements import loud
from hyperferry.model.names import TableName

from .made import use

Row = dict[str, Any]
Truth = Callable[[Row], bool | None]


def read(text: str) -> Shape:
    found = shape_of(use(text), [TableName("public", "stats")], ["a", "b", "f", "ts"], "ts")
    assert found is not None
    return found


@dataclass(frozen=True)
class Condition:
    """SQL, and what it says of a row (None: NULL). `constants`: what a column is compared with by = or IN. `loose`: what binds it least."""

    sql: str
    true: Truth
    columns: frozenset[str]
    constants: frozenset[tuple[str, int]] = frozenset()
    compared: frozenset[str] = frozenset()
    loose: str = ""


def known(test: Callable[..., bool], *names: str) -> Truth:
    """NULL where one of the columns is NULL."""
    return lambda row: None if any(row[name] is None for name in names) else test(*(row[name] for name in names))


def single(name: str, c: int) -> Iterator[Condition]:
    """Single conditions on a column and a constant."""
    own, equal = frozenset({name}), frozenset({(name, c)})
    for sql in (f"{name} = {c}", f"{c} = {name}", f"({name}) = {c}", f"s.{name}::bigint = {c}", f"{name} = ANY('{{{c}}}')"):
        yield Condition(sql, known(lambda v: v == c, name), own, equal, own)
    yield Condition(f"{name} IN ({c}, 2)", known(lambda v: v in (c, 2), name), own, equal | {(name, 2)}, own)
    for sql in (f"{name} > {c}", f"{c} < {name}"):
        yield Condition(sql, known(lambda v: v > c, name), own, compared=own)
    yield Condition(f"{name} BETWEEN {c} AND 2", known(lambda v: c <= v <= 2, name), own, compared=own)
    yield Condition(f"{name} NOT BETWEEN {c} AND 2", known(lambda v: not c <= v <= 2, name), own)
    for sql in (f"{name} <> {c}", f"{name} != {c}", f"{name} NOT IN ({c})"):
        yield Condition(sql, known(lambda v: v != c, name), own)
    yield Condition(f"{name} IS DISTINCT FROM {c}", lambda row: row[name] != c, own)
    yield Condition(f"{name} IS NULL", lambda row: row[name] is None, own)
    yield Condition(f"{name} IS NOT NULL", lambda row: row[name] is not None, own)
    yield Condition(f"abs({name}) = {c}", known(lambda v: abs(v) == c, name), own)
    yield Condition(f"coalesce(0, {name}) = {c}", lambda row: c == 0, own)
    yield Condition(f"1 - {name} = {c}", known(lambda v: 1 - v == c, name), own)
    yield Condition(f"{c} = {name} - 1", known(lambda v: v - 1 == c, name), own)
    yield Condition(f"({name} = {c} OR b > 1) IS NOT TRUE", lambda row: not (row[name] == c or (row["b"] or 0) > 1), own | {"b"})
    yield Condition(f"CASE WHEN {name} = {c} THEN 0 ELSE 1 END = 1", lambda row: row[name] != c, own)
    yield Condition(f"CASE WHEN f AND {name} = {c} THEN 0 END IS NULL", lambda row: not (row["f"] and row[name] == c), own | {"f"})


LEAVES = [
    Condition("f", lambda row: row["f"], frozenset({"f"})),
    Condition("f IS TRUE", lambda row: row["f"] is True, frozenset({"f"})),
    Condition("a + b = 2", known(lambda a, b: a + b == 2, "a", "b"), frozenset({"a", "b"})),
    Condition("(a, b) > (1, 1)", known(lambda a, b: (a, b) > (1, 1), "a", "b"), frozenset({"a", "b"})),
    *(each for name in ("a", "b") for c in (0, 1) for each in single(name, c)),
]
ROWS = [dict(zip("abf", values, strict=True)) for values in product((None, 0, 1, 2), (None, 0, 1, 2), (None, True, False))]


def negated(part: Condition) -> Condition:
    inner = f"({part.sql})" if part.loose else part.sql
    return Condition(
        f"NOT {inner}", lambda row: None if (truth := part.true(row)) is None else not truth,
        part.columns, part.constants, part.compared, "not",
    )  # fmt: skip


def joined(joint: str, parts: list[Condition]) -> Condition:
    """As few parentheses as SQL needs: OR binds least, NOT most."""

    def true(row: Row) -> bool | None:
        truths = [part.true(row) for part in parts]
        stops = joint == "or"
        return stops if stops in truths else None if None in truths else not stops

    written = [f"({part.sql})" if joint == "and" and part.loose == "or" else part.sql for part in parts]
    return Condition(
        f" {joint.upper()} ".join(written), true, frozenset().union(*(part.columns for part in parts)),
        frozenset().union(*(part.constants for part in parts)), frozenset().union(*(part.compared for part in parts)), joint,
    )  # fmt: skip


def wrapped(part: Condition) -> Condition:
    return Condition(f"({part.sql})", part.true, part.columns, part.constants, part.compared)


CONDITIONS = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        inner.map(negated), inner.map(wrapped), st.builds(joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3))
    ),
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None)
@given(CONDITIONS)
def test_what_is_read_off_a_condition_holds_of_every_row_that_meets_it(condition: Condition) -> None:
    shape = read(f"SELECT * FROM stats s WHERE {condition.sql}")
    assert set(shape.asked) == condition.columns
    for row in ROWS:
        if condition.true(row):
            assert all((name, row[name]) in condition.constants for name in shape.equal)
            assert all(row[name] is not None and name in condition.compared for name in shape.ranged)
            assert all((row[name] is None) == null for name, null in shape.null_tests)
            assert all(row[name] == true for name, true in shape.flags)


@settings(deadline=None)
@given(st.lists(st.sampled_from(LEAVES), min_size=1, max_size=5))
def test_what_and_joins_is_all_read(leaves: list[Condition]) -> None:
    shape = read(f"SELECT * FROM stats s WHERE {joined('and', leaves).sql}")
    assert {*shape.equal, *shape.ranged} == {name for leaf in leaves for name in leaf.compared}


@pytest.mark.parametrize(
    ("where", "equal", "ranged"),
    [
        ("a = 1 OR b = 2", (), ()),
        ("a = 1 OR a = 2", ("a",), ()),
        ("(a = 1 OR a > 2) AND b = 3", ("b",), ("a",)),
        ("(a = 1 AND ts > 2) OR (a = 3 AND ts > 4)", ("a",), ("ts",)),
        ("a = 1 AND (f OR b = 2)", ("a",), ()),
        ("a BETWEEN 1 AND 2 OR a BETWEEN 4 AND 5", (), ("a",)),
        ("((a)::text = 'x'::text) AND (b)::numeric(10, 2) >= 3", ("a",), ("b",)),
        ("ts::timestamp with time zone >= now() AND a::int[] = $1", ("a",), ("ts",)),
        ("NOT (a = 1 AND b = 2)", (), ()),
    ],
)
def test_what_or_and_not_leave(where: str, equal: tuple[str, ...], ranged: tuple[str, ...]) -> None:
    shape = read(f"SELECT * FROM stats WHERE {where}")
    assert (shape.equal, shape.ranged) == (equal, ranged)


def test_each_join_has_a_condition_of_its_own() -> None:
    shape = read("SELECT * FROM stats s LEFT JOIN x ON x.id = s.a OR x.id = s.b JOIN y ON y.id = s.b AND left(y.n, 1) = 'q', z WHERE s.f")
    assert (shape.equal, shape.flags, set(shape.asked)) == (("b",), (("f", True),), {"a", "b", "f"})


def test_what_is_nested_without_end_says_nothing() -> None:
    deep = "(" * 5_000 + "a = 1" + ")" * 5_000
    assert read(f"SELECT * FROM stats WHERE {deep}").equal == ("a",)
    steps = "a = 1"
    for _ in range(300):
        steps = f"({steps}) OR a = 1"
    assert read(f"SELECT * FROM stats WHERE {steps}").equal == ()
    assert tree(loud("NOT " * 1_000)).joint == "not"


# What a DELETE leaves

TIMES = [
    ("ts < 3", lambda ts, a: ts < 3), ("ts <= 2", lambda ts, a: ts <= 2), ("3 > ts", lambda ts, a: ts < 3),
    ("5 - ts > 2", lambda ts, a: 5 - ts > 2), ("2 < 5 - ts", lambda ts, a: 5 - ts > 2), ("ts + 1 < 4", lambda ts, a: ts + 1 < 4),
    ("-ts > -3", lambda ts, a: -ts > -3), ("- 3 < - ts", lambda ts, a: -ts > -3),
    ("ts > 2", lambda ts, a: ts > 2), ("2 <= ts", lambda ts, a: ts >= 2), ("5 - ts < 2", lambda ts, a: 5 - ts < 2),
    ("-ts < -2", lambda ts, a: -ts < -2), ("ts = 2", lambda ts, a: ts == 2), ("ts <> 2", lambda ts, a: ts != 2),
    ("ts BETWEEN 1 AND 3", lambda ts, a: 1 <= ts <= 3), ("ts NOT BETWEEN 1 AND 3", lambda ts, a: not 1 <= ts <= 3),
    ("ts IN (0, 1)", lambda ts, a: ts in (0, 1)), ("a = 1", lambda ts, a: a == 1), ("a < 1", lambda ts, a: a < 1),
    ("ts < a", lambda ts, a: ts < a), ("ts - a < 2", lambda ts, a: ts - a < 2), ("ts + ts < 3 + a", lambda ts, a: 2 * ts < 3 + a),
    ("abs(ts - 2) < 2", lambda ts, a: abs(ts - 2) < 2), ("ts % 3 < 2", lambda ts, a: ts % 3 < 2), ("3 - (4 - ts) < 2", lambda ts, a: ts < 3),
    ("(3 - ts) * -1 < 2", lambda ts, a: (3 - ts) * -1 < 2), ("-1 * ts < -2", lambda ts, a: -ts < -2),
    ("(ts < 3) IS FALSE", lambda ts, a: ts >= 3), ("(ts < 3) = false", lambda ts, a: ts >= 3), ("ts < 3 IS NOT TRUE", lambda ts, a: ts >= 3),
    ("CASE WHEN ts < 3 THEN a ELSE 0 END = 1", lambda ts, a: ts < 3 and a == 1),
    ("CASE WHEN ts > 3 THEN 0 ELSE ts END < 2", lambda ts, a: ts > 3 or ts < 2),
]  # fmt: skip


def timed(sql: str, true: Callable[[int, int], bool]) -> Condition:
    return Condition(sql, lambda row: true(row["ts"], row["a"]), frozenset())


TIMED = st.recursive(
    st.sampled_from([timed(*each) for each in TIMES]),
    lambda inner: st.one_of(
        inner.map(negated), inner.map(wrapped), st.builds(joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3))
    ),
    max_leaves=4,
)  # fmt: skip


@settings(deadline=None)
@given(TIMED)
def test_what_deletes_older_rows_deletes_all_of_them_and_no_others(condition: Condition) -> None:
    """Wherever it deletes a row, it deletes every row that is not newer, whatever else that has."""
    if not read(f"DELETE FROM stats WHERE {condition.sql}").older:
        return
    gone = {(ts, a) for ts, a in product(range(6), range(4)) if condition.true({"ts": ts, "a": a})}
    newest = max((ts for ts, _ in gone), default=-1)
    assert gone == set(product(range(newest + 1), range(4)))


@pytest.mark.parametrize(
    "where",
    [
        "ts < $1", "$1 >= ts", "(ts <= $1)", "(ts < $1) AND ts < now()", "now() - ts > interval '90 days'", "interval '90 days' < now() - ts",
        "ts + interval '90 days' < now()", "stats.ts::date < current_date - 90", "(ts)::timestamp without time zone < $1",
        "ts AT TIME ZONE 'UTC' < now() - interval $1", "date_trunc('day', ts) < $1", "ts < extract(epoch FROM now())::bigint * 1000 - $1",
    ],
)  # fmt: skip
def test_what_deletes_older_rows(where: str) -> None:
    assert read(f"DELETE FROM stats WHERE {where}").older
    assert not read(f"SELECT FROM stats WHERE {where}").older


@pytest.mark.parametrize(
    "where",
    [
        "ts >= $1", "$1 < ts", "ts BETWEEN $1 AND $2", "ts < $1 AND ts > $2", "a = $1 AND ts < $2", "ts < $1 AND a IS NULL", "ts < $1 AND f",
        "ts < $1 OR a = $2", "NOT ts < $1", "now() - ts < interval '1 day'", "ts < $1 AND ctid = $2", "ts::time < '06:00'",
        "extract(hour FROM ts) < 6", "date_trunc('day', ts - a) < $1", "ts < $1 AND NOT EXISTS (SELECT FROM x WHERE x.a = stats.a)",
        "ts < (SELECT u.left_at FROM users u WHERE u.id = a)",
    ],
)  # fmt: skip
def test_what_deletes_newer_rows_or_some_of_the_old(where: str) -> None:
    assert not read(f"DELETE FROM stats WHERE {where}").older


def test_where_the_rows_go_from_counts_too() -> None:
    assert read("WITH gone AS (DELETE FROM ONLY stats AS s WHERE s.ts < $1 RETURNING *) INSERT INTO archive SELECT * FROM gone").older
    assert not read("DELETE FROM stats").older
    assert not read("DELETE FROM stats USING users u WHERE ts < u.left_at").older
    assert not read("DELETE FROM other USING stats WHERE stats.ts < $1").older
    tables = [TableName("public", "stats"), TableName("public", "void")]
    through = shape_of(use("DELETE FROM void WHERE ts < $1"), tables, ["ts"], "ts")
    assert through is not None
    assert not through.older


@pytest.mark.parametrize(
    ("time", "where"),
    [
        ("time", "time < '2024-01-01 00:00:00+00'::timestamp with time zone"),
        ("time", "time AT TIME ZONE 'UTC' < time with time zone '12:00'"),
        ("timestamp", "timestamp < timestamp '2024-01-01'"),
        ("timestamp", "timestamp < timestamp with time zone '2024-01-01'"),
        ("date", "date < $1::date AND date < CAST($2 AS date)"),
        ("date", "date < date $1"),
    ],
)
def test_a_type_of_the_same_name_is_not_the_column(time: str, where: str) -> None:
    found = shape_of(use(f"DELETE FROM stats WHERE {where}"), [TableName("public", "stats")], [time], time)
    assert found is not None
    assert found.older
