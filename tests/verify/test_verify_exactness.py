"""Image hashes are equal exactly when the rows are the same as stored (`record_image_eq`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

import servers
from hyperferry.catalog import inspect
from hyperferry.db import connect, fetch_all
from hyperferry.db.connection import Connection
from hyperferry.ledger.image import exact_hash
from hyperferry.model.inspection import Column
from servers import Database

# The same examples in every run, and nothing written beside the tests.
QUIET = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))

_LETTERS = st.text(st.sampled_from("aAäß' \\{},\""), max_size=5)
_NUMBERS = st.one_of(
    st.sampled_from(
        ["0", "0.0", "0.00", "1", "1.0", "1.00", "-1", "-1.00", "10000", "1e20", "1.5", "-1.5", "NaN", "-1e20", "1e-20"]
    ),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
)
_BIG = st.one_of(
    st.sampled_from(["0", "-1", "4294967297", "8589934594", "-4294967296", "1", "2"]),
    st.integers(-(2**63), 2**63 - 1).map(str),
)
_FLOATS = st.one_of(
    st.sampled_from(["0", "-0", "NaN", "Infinity", "-Infinity"]), st.floats(width=32).map(repr)
)
_SPANS = st.sampled_from(
    ["1 mon", "30 days", "720 hours", "1 day", "24 hours", "0", "1 year", "12 mons", "-1 day", "1 day -24:00"]
)
_TIMES = st.one_of(
    st.sampled_from(["2000-01-01 00:00:00", "2000-01-01 01:11:34.967297", "infinity", "-infinity"]),
    st.datetimes().map(str),
    # Neighbours, at the ends of the time in which seconds are told apart, and beyond it, where doubles no longer do.
    st.sampled_from(["1900-01-01", "2000-01-01", "2099-12-31 23:59:59.5", "2100-01-01", "9999-12-31"]).flatmap(
        lambda day: st.integers(-3, 3).map(lambda n: _moved(day, n))
    ),
)


def _moved(moment: str, microseconds: int) -> str:
    return str(datetime.fromisoformat(moment) + timedelta(microseconds=microseconds))


def _array(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def quoted(value: str | None) -> str:
        if value is None:
            return "NULL"
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return st.lists(st.one_of(st.none(), values), max_size=3).map(
        lambda v: "{" + ",".join(map(quoted, v)) + "}"
    )


VALUES: dict[str, st.SearchStrategy[str]] = {
    "numeric": _NUMBERS,
    "numeric(12, 4)": st.decimals(-1000, 1000, places=4).map(str),
    "bigint": _BIG,
    "smallint": st.integers(-(2**15), 2**15 - 1).map(str),
    "integer": st.integers(-(2**31), 2**31 - 1).map(str),
    "real": _FLOATS,
    "double precision": _FLOATS,
    "text": _LETTERS,
    'text COLLATE "case blind"': _LETTERS,
    "citext": _LETTERS,
    "char(4)": _LETTERS.filter(lambda s: len(s) <= 4),
    "varchar": _LETTERS,
    '"char"': st.sampled_from(["", "a", "b"]),
    "boolean": st.sampled_from(["t", "f"]),
    "interval": _SPANS,
    "timestamptz": _TIMES,
    "timestamp": _TIMES,
    "date": st.one_of(st.dates().map(str), st.sampled_from(["infinity", "-infinity", "2000-01-01"])),
    "time": st.one_of(st.times().map(str), st.sampled_from(["00:00", "01:11:34.967297"])),
    "timetz": st.sampled_from(["10:00+00", "11:00+01", "10:00+01", "09:00+00", "11:11:34.967297+00"]),
    "jsonb": st.sampled_from(
        ['{"a":1}', '{"a":1.0}', '{"a":1.00,"b":null}', '{"b":null,"a":1.00}', "[1,2]", '"a"', "null"]
    ),
    "json": st.sampled_from(['{"a":1}', '{"a": 1}', '{"a":1.0}', "null"]),
    "numeric[]": _array(_NUMBERS),
    "text[]": _array(_LETTERS),
    "float8[]": _array(_FLOATS),
    "interval[]": _array(_SPANS),
    "numrange": st.sampled_from(["[1,2)", "[1.0,2)", "(1,2]", "empty", "[1,)", "(,)"]),
    "int4range": st.sampled_from(["[1,3)", "[1,2]", "(0,2]", "empty"]),
    "bytea": st.binary(max_size=4).map(lambda b: "\\x" + b.hex()),
    "uuid": st.uuids().map(str),
    "inet": st.sampled_from(["10.0.0.1/24", "10.0.0.1", "10.0.0.1/32", "10.0.0.0/24", "::1"]),
    "score": _NUMBERS.filter(lambda v: v != "NaN"),
    "place": st.sampled_from(["(a,1)", "(a,1.0)", "(a,)", '("",1)', "(,)"]),
    "mood": st.sampled_from(["sad", "ok", "happy"]),
    "money": st.sampled_from(["0", "1.00", "-1.00", "42949672.97"]),
    "bit(3)": st.sampled_from(["000", "001", "111"]),
    "varbit": st.sampled_from(["", "0", "00", "1"]),
    "point": st.sampled_from(["(0,0)", "(-0,0)", "(1,NaN)"]),
    "xml": st.sampled_from(["<a/>", "<a></a>", "x"]),
    "tsvector": st.sampled_from(["a b", "b a", "a:1 b:2"]),
    "pg_lsn": st.sampled_from(["0/0", "1/1", "0/1"]),
}
_KINDS = """
CREATE EXTENSION IF NOT EXISTS citext;
CREATE COLLATION "case blind" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN score AS numeric CHECK (VALUE <> 0.123456);
CREATE TYPE place AS (town text, seat numeric);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
"""


class Samples:
    """Tables with one value column of each type, and what the catalog says of that column."""

    def __init__(self, db: Database) -> None:
        self.conn: Connection = connect(db.dsn, purpose="test")
        self.columns: dict[str, Column] = {}
        db.execute(_KINDS)
        for number, kind in enumerate(VALUES):
            db.execute(f"CREATE TABLE public.s{number} (v {kind}, at timestamptz)")  # type: ignore[arg-type]
            found = inspect(self.conn, f"public.s{number}", "at", scan=False).column("v")
            assert found is not None
            self.columns[kind] = found

    def hashes(self, kind: str, values: list[str | None]) -> list[tuple[Any, ...]]:
        """Each two of the values as text, whether they are one image, and whether their hashes are equal."""
        table = sql.Identifier("public", f"s{list(VALUES).index(kind)}")
        column = self.columns[kind]
        with self.conn.transaction(force_rollback=True):
            self.conn.execute(
                sql.SQL("INSERT INTO {} SELECT v::{}, 'epoch' FROM unnest({}::text[]) AS v").format(
                    table,
                    sql.SQL(column.type_sql),  # type: ignore[arg-type]
                    sql.Literal(values),
                )
            )
            return fetch_all(
                self.conn,
                sql.SQL(
                    "SELECT a.v::text, b.v::text, record_image_eq(ROW(a.v), ROW(b.v)), {} = {} "
                    "FROM {} a, {} b"
                ).format(exact_hash("a", [column]), exact_hash("b", [column]), table, table),
            )


@pytest.fixture(scope="module")
def samples(server: Any) -> Iterator[Samples]:
    """One database for the module."""
    database = servers.make_database(server)
    made = Samples(database)
    yield made
    made.conn.close()
    servers.drop_database(database)


@pytest.mark.parametrize("kind", VALUES)
def test_hashes_are_equal_exactly_when_the_images_are(samples: Samples, kind: str) -> None:
    found: set[str] = set()

    @settings(QUIET, max_examples=150)
    @given(VALUES[kind])
    def collect(value: str) -> None:
        found.add(value)

    collect()
    for left, right, same_image, same_hash in samples.hashes(kind, [None, *sorted(found)]):
        assert same_image == same_hash, (left, right)


@pytest.mark.parametrize("kind", ["numeric", "real", "double precision"])
def test_what_is_no_number_is_hashed_exactly(samples: Samples, kind: str) -> None:
    """An infinity less itself is a NaN with another sign than the one that is written."""
    kinds = {"numeric": "numeric", "real": "float4", "double precision": "float8"}
    values = "'NaN'", "'Infinity'", "'-Infinity'", "0", "NULL", f"'Infinity'::{kinds[kind]} - 'Infinity'::{kinds[kind]}"
    table = sql.SQL("(VALUES {})").format(
        sql.SQL(", ").join(sql.SQL("(({})::{})").format(sql.SQL(v), sql.SQL(kinds[kind])) for v in values)  # type: ignore[arg-type]
    )
    column = replace(samples.columns[kind], name="v")
    found = fetch_all(
        samples.conn,
        sql.SQL("SELECT a.v, b.v, record_image_eq(ROW(a.v), ROW(b.v)), {} = {} FROM {t} a(v), {t} b(v)").format(
            exact_hash("a", [column]), exact_hash("b", [column]), t=table
        ),
    )
    assert len(found) == len(values) ** 2
    for left, right, same_image, same_hash in found:
        assert same_image == same_hash, (left, right)


def test_moments_a_microsecond_apart_are_told_apart_all_over_the_century(samples: Samples) -> None:
    """Their seconds as doubles are, where the doubles are furthest apart too."""
    column = replace(samples.columns["timestamptz"], name="at")
    [(moments, hashes)] = fetch_all(
        samples.conn,
        sql.SQL(
            "SELECT count(*), count(DISTINCT {}) FROM unnest(ARRAY['1900-01-01', '1968-01-01', '2000-01-01', '2068-01-19 03:14:07', "
            "'2099-12-31 23:59:59']::timestamptz[]) AS day, generate_series(0, 19999) AS n, "
            "LATERAL (SELECT day + n * interval '1 microsecond') AS r(at)"
        ).format(exact_hash("r", [column])),
    )
    assert (moments, hashes) == (100_000, 100_000)


@pytest.mark.parametrize(("kind", "some"), [("integer", "i"), ("date", "'2000-01-01'::date + i"), ("bigint", "i::bigint << 32")])
def test_columns_of_one_type_are_not_taken_for_one_another(samples: Samples, kind: str, some: str) -> None:
    """(1, 2) is neither (2, 1) nor (NULL, 1), and no three small numbers, or days about the one whose hash is the seed, are others."""
    columns = [replace(samples.columns[kind], name=name) for name in ("a", "b", "c")]
    numbers = f"(SELECT NULL::{kind} AS n UNION ALL SELECT {some} FROM generate_series(-30, 30) AS i)"
    [(rows, hashes)] = fetch_all(
        samples.conn,
        sql.SQL(
            "SELECT count(*), count(DISTINCT {}) FROM (SELECT a.n AS a, b.n AS b, c.n AS c FROM {n} a, {n} b, {n} c) AS r"
        ).format(exact_hash("r", columns), n=sql.SQL(numbers)),
    )
    assert (rows, hashes) == (62**3, 62**3)


def test_powers_of_ten_thousand_do_not_cancel_out_between_columns(samples: Samples) -> None:
    """A numeric's own hash is that of its digits, exclusive or their power of 10000: a row (1, 1) hashed as (10000, 10000) did."""
    columns = [replace(samples.columns["numeric"], name=name) for name in ("a", "b", "c")]
    numbers = "(SELECT (sign * digits * 10000::numeric ^ power)::numeric(60, 20) AS n FROM (VALUES (1), (-1)) AS s(sign), " + (
        "(VALUES (1), (25)) AS d(digits), pg_catalog.generate_series(-4, 6) AS power)"
    )
    [(rows, hashes)] = fetch_all(
        samples.conn,
        sql.SQL(
            "SELECT count(*), count(DISTINCT {}) FROM (SELECT a.n AS a, b.n AS b, c.n AS c FROM {n} a, {n} b, {n} c) AS r"
        ).format(exact_hash("r", columns), n=sql.SQL(numbers)),
    )
    assert (rows, hashes) == (44**3, 44**3)


def test_sums_are_equal_exactly_when_the_multisets_are(samples: Samples) -> None:
    columns = [samples.columns["numeric"], samples.columns["text"]]
    columns = [replace(columns[0], name="a"), replace(columns[1], name="b")]
    rows = st.lists(
        st.tuples(st.sampled_from(["1", "1.0", "-1", "NaN", None]), st.sampled_from(["a", "b", None])),
        max_size=5,
    )

    def sums(values: list[tuple[str | None, str | None]]) -> Any:
        parts = [sql.SQL("({}::numeric, {}::text)").format(sql.Literal(a), sql.Literal(b)) for a, b in values]
        return fetch_all(
            samples.conn,
            sql.SQL("SELECT count(*), sum({}) FROM (VALUES {}) AS r(a, b)").format(
                exact_hash("r", columns), sql.SQL(", ").join(parts)
            ),
        )[0]

    @settings(QUIET, max_examples=150)
    @given(rows.filter(bool), rows.filter(bool), st.randoms())
    def agree(left: list[Any], right: list[Any], random: Any) -> None:
        assert (sums(left) == sums(right)) == (Counter(left) == Counter(right))
        shuffled = list(left)
        random.shuffle(shuffled)
        assert sums(left) == sums(shuffled)
        swapped = list(zip([a for a, _ in left], random.sample([b for _, b in left], len(left)), strict=True))
        assert (sums(left) == sums(swapped)) == (Counter(left) == Counter(swapped))

    agree()


@pytest.mark.parametrize("kind", ["text", "jsonb", "bytea"])
def test_values_that_two_rows_swapped_change_the_sum(samples: Samples, kind: str) -> None:
    """A record's own hash, which some types go through, is linear in its columns' hashes: of a hundred such swaps it would miss
    about sixty."""
    columns = [replace(samples.columns[kind], name=name) for name in ("a", "b")]
    h = exact_hash("r", columns)
    missed = fetch_all(
        samples.conn,
        sql.SQL(
            "SELECT n FROM pg_catalog.generate_series(1, 100) AS n, "
            "LATERAL (SELECT pg_catalog.sum({h}) AS h FROM (VALUES ('x', n::text), ('y', (n + 1)::text)) AS r(a, b)) AS one, "
            "LATERAL (SELECT pg_catalog.sum({h}) AS h FROM (VALUES ('y', n::text), ('x', (n + 1)::text)) AS r(a, b)) AS two "
            "WHERE one.h = two.h"
        ).format(h=h),
    )
    assert missed == []
