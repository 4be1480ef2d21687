"""Kinds of columns and random values of them, as the text that PostgreSQL reads.

Values are chosen where equality and sameness differ (1.0 and 1.00, 0 and -0, '1 month' and '30 days') and where
text has to be quoted.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

Random = random.Random
Value = str | None

TYPES = """
CREATE SCHEMA torture;
GRANT USAGE ON SCHEMA torture TO PUBLIC;
CREATE TYPE torture.mood AS ENUM ('glad', 'sad', 'it''s "odd"');
CREATE TYPE torture.pair AS (x integer, y numeric);
CREATE DOMAIN torture.positive AS numeric CHECK (VALUE > 0);
CREATE COLLATION torture.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
"""
"""What kinds need beside built-in types."""

WORDS = ("", " ", "a", "A", "ä", "ö ", "it's", 'say "x"', "back\\slash", "%s {0} $1", "tab\tline\nend", "NULL", "(1,2)")


@dataclass(frozen=True)
class Kind:
    """A kind of column. `key`: a value for the n-th row of a writer, never equal to another's; None where it cannot be unique."""

    sql: str
    draw: Callable[[Random], str]
    key: Callable[[Random, int, int], str] | None = None
    wide: bool = False


def _of(*texts: str) -> Callable[[Random], str]:
    return lambda r: r.choice(texts)


def _number(tag: int, n: int) -> int:
    return tag * 100_000_000 + n


def _cased(r: Random, text: str) -> str:
    return "".join(r.choice((c.lower(), c.upper())) for c in text)


def _numeric(r: Random) -> str:
    return r.choice(("0", "0.0", "1", "1.0", "1.00", "-1.0", "100", "1e-20", "NaN", "Infinity", "98765432109876543210.00010", f"{r.randrange(10_000)}.{'0' * r.randrange(4)}"))


def _float(r: Random) -> str:
    return r.choice(("0", "-0", "NaN", "Infinity", "-Infinity", "1e-30", "0.1", str(r.random())))


def _text(r: Random) -> str:
    return r.choice((*WORDS, f"word {r.randrange(1000)}"))


def _wide(r: Random) -> str:
    # Half cannot be compressed, half can: both are stored out of line.
    return r.randbytes(r.randrange(1200, 4000)).hex() if r.random() < 0.5 else _text(r) * r.randrange(300, 3000)


def _moment(r: Random) -> str:
    return r.choice(("infinity", "-infinity", "0044-03-15 12:00:00+00 BC", f"20{r.randrange(10, 40)}-0{r.randrange(1, 10)}-1{r.randrange(10)} 0{r.randrange(10)}:30:00.{r.randrange(1_000_000):06d}+00"))


KINDS: dict[str, Kind] = {
    "smallint": Kind("smallint", lambda r: str(r.randrange(-32768, 32768))),
    "integer": Kind("integer", lambda r: str(r.randrange(-9, 9999)), lambda r, t, n: str(_number(t, n))),
    "bigint": Kind("bigint", lambda r: str(r.randrange(-(2**63), 2**63)), lambda r, t, n: str(_number(t, n) << 20)),
    "numeric": Kind("numeric", _numeric, lambda r, t, n: f"{_number(t, n)}{r.choice(('', '.0', '.00'))}"),
    "numeric(12,4)": Kind("numeric(12,4)", lambda r: str(r.randrange(10_000_000) / 100), lambda r, t, n: f"{t * 1_000_000 + n}.25"),
    "numeric(9,-2)": Kind("numeric(9,-2)", lambda r: str(r.randrange(1_000_000))),
    "real": Kind("real", _float),
    "double precision": Kind("double precision", _float),
    "text": Kind("text", _text, lambda r, t, n: f"{r.choice(WORDS)}|{t}|{n}"),
    "blind text": Kind("text COLLATE torture.blind", _text, lambda r, t, n: _cased(r, f"k{t}x{n}")),
    "varchar": Kind("varchar(60)", _text, lambda r, t, n: f"{t}-{n}"),
    "char": Kind("char(5)", _of("", "a", "a ", "ab", "it's"), None),
    "name": Kind("name", _of("a", "B", "it's")),
    "bytea": Kind("bytea", _of("\\x", "\\x00", "\\x00ff5c27"), lambda r, t, n: f"\\x{t:02x}{n:08x}"),
    "uuid": Kind("uuid", lambda r: f"{r.randrange(16**8):08x}-0000-4000-8000-000000000000", lambda r, t, n: f"{t:08x}-0000-4000-8000-{n:012x}"),
    "boolean": Kind("boolean", _of("t", "f")),
    "date": Kind("date", _of("2020-02-29", "infinity", "0001-01-01 BC")),
    "timestamptz": Kind("timestamptz", _moment),
    "timestamp(2)": Kind("timestamp(2)", _of("infinity", "2024-01-01 00:00:00.125", "2024-03-31 02:30")),
    "timetz": Kind("timetz", _of("12:00+00", "14:00+02", "24:00-03")),
    "interval": Kind("interval", _of("1 month", "30 days", "720:00:00", "-1 day", "0")),
    "money": Kind("money", _of("0", "1234.50", "-7.10")),
    "enum": Kind("torture.mood", _of("glad", "sad", "it's \"odd\"")),
    "integer[]": Kind("integer[]", _of("{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[2:3]={5,6}")),
    "text[]": Kind("text[]", _of("{}", '{"",NULL,"NULL","a,b","\\"q\\""}', "{ä,Ä}")),
    "jsonb": Kind("jsonb", _of("null", "[]", '{"a": 1.0}', '{"a": 1.00}', '{"b": {"c": [1, null, "x"]}}', '"\\u00e4"')),
    "json": Kind("json", _of("null", '{"a":1,"a":2}', ' {"a" : 1.0 } ', '[1,  2]')),
    "range": Kind("int4range", _of("empty", "[1,5)", "[1,4]", "(,3]", "[7,)")),
    "tstzrange": Kind("tstzrange", _of("empty", "[2024-01-01,2024-02-01)", "(,infinity)")),
    "multirange": Kind("nummultirange", _of("{}", "{[1,2),[3.0,4]}", "{[1.0,2)}")),
    "composite": Kind("torture.pair", _of("(1,1.0)", "(1,1.00)", "(,)", "(-3,NaN)")),
    "domain": Kind("torture.positive", _of("1", "1.0", "0.001")),
    "inet": Kind("inet", _of("10.0.0.1", "10.0.0.1/8", "::1")),
    "bits": Kind("bit varying", _of("", "0", "1011")),
    "point": Kind("point", _of("(1,2)", "(-0,0)", "(0,-0)", "(NaN,1e-9)")),
    "tsvector": Kind("tsvector", _of("", "'a':1 'b':2A", "'it''s'")),
    "wide": Kind("text", _wide, None, wide=True),
    "citext": Kind("torture.citext", _text, lambda r, t, n: _cased(r, f"c{t}x{n}")),
}

PLAIN = tuple(name for name in KINDS if name != "citext")
"""Kinds that every server has."""

KEYS = tuple(name for name, kind in KINDS.items() if kind.key is not None and name != "citext")
"""Kinds of unique columns that every server has."""


@dataclass(frozen=True)
class Clock:
    """A type of time column. Chunks are `interval` wide; `unit` is a width that every chunk is made of.

    `at(x)` is the text of the moment x units (and a fraction) after the first; `near` gives SQL for another moment of the
    same unit, of the column {c} and an integer {n}.
    """

    sql: str
    interval: str
    at: Callable[[float], str]
    near: str


def _day(x: float) -> str:
    days, seconds = int(x), round((x % 1) * 86_399_000_000) / 1e6
    month, day = days // 28 + 1, days % 28 + 1
    hours, rest = divmod(seconds, 3600)
    return f"2024-{month:02d}-{day:02d} {int(hours):02d}:{int(rest // 60):02d}:{rest % 60:09.6f}"


SPAN = 112
"""Units that the rows of a table spread over."""

CLOCKS: dict[str, Clock] = {
    "timestamptz": Clock("timestamptz", "14 days", lambda x: f"{_day(x)}+00", "date_trunc('day', {c}, 'UTC') + {n} * interval '1 second'"),
    "timestamp": Clock("timestamp", "14 days", _day, "date_trunc('day', {c}) + {n} * interval '1 second'"),
    "date": Clock("date", "14 days", lambda x: _day(x)[:10], "{c} + 0 * {n}"),
    "bigint": Clock("bigint", "1000000", lambda x: str(int(x * 100_000)), "{c} / 100000 * 100000 + {n}"),
    "integer": Clock("integer", "10000", lambda x: str(int(x * 1000)), "{c} / 1000 * 1000 + {n} % 1000"),
}
