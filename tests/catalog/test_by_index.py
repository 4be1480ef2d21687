"""What the rows say is looked up in an index on the time where one serves: the same facts as a pass over all rows, but for their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql
from pydantic import TypeAdapter

from hyperferry.catalog import by_index, inspect, resolve_table
from hyperferry.catalog.scan import interval_width, scan, whole_pass
from hyperferry.catalog.server import server_facts
from hyperferry.catalog.table import columns, table_facts
from hyperferry.cli.render.findings import inspection_lines
from hyperferry.db import connect, execute, fetch_all, fetch_value
from hyperferry.db.connection import Connection
from hyperferry.model.inspection import Column, ScanFacts, TableFacts
from hyperferry.model.reading import Reading
from hyperferry.words import about_to_read
from servers import Database

NAME = '"my.schema"."Weird ""Näme %s"'
TIME = '"x" "'
COLUMN = '"""x"" """'
assert COLUMN.replace('""', '"')[1:-1] == TIME

SECOND = 10**6
DAY = 86_400 * SECOND
INDEXES = (
    "({t})",
    "({t} DESC)",
    "({t} DESC NULLS LAST)",
    "({t} NULLS FIRST)",
    "({t}, v DESC)",
    "({t} DESC, v) INCLUDE (w)",
)
WIDTHS = {
    "integer": ["1", "7", "1000", "1000000", "30000"],
    "moment": ["7 days", "1 month", "1.5 seconds", "0.333333 seconds", "36 hours", "1 millisecond", "400 years", "11 minutes"],
}
LIMITS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
EXTREMES = {
    "date": ["4714-11-24 BC", "294276-12-31", "300000-01-01", "5874897-12-31", "infinity", "-infinity", "1970-01-01"],
    "timestamp": ["4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity", "1969-12-31 23:59:59.999999"],
    "timestamptz": ["4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity", "1970-01-01 00:00:00"],
    **{kind: [str(-limit), str(limit - 1), "0", "-1"] for kind, limit in LIMITS.items()},
}


@pytest.fixture(autouse=True)
def _every_table_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_index, "ROWS", 0)


@dataclass
class Place:
    """A table `NAME` with a time column `COLUMN`, and a session that looks at it."""

    db: Database
    conn: Connection

    def make(self, kind: str, index: str | None = "({t})") -> None:
        """The table, anew; `index`: with what follows its name, {t} for the column."""
        execute(
            self.conn,
            'DROP SCHEMA IF EXISTS "my.schema" CASCADE; CREATE SCHEMA "my.schema"; '
            f"CREATE TABLE {NAME} (id serial, {COLUMN} {kind}, v int DEFAULT 1, w int DEFAULT 2)",
        )
        if index is not None:
            execute(self.conn, f'CREATE INDEX "odd ""i" ON {NAME} {index.format(t=COLUMN)}')

    def fill(self, values: str = "'2024-01-01'::date + i / 10", *, analyze: bool = True) -> None:
        """1,000 rows whose time is what `values` makes of `i`, from 0 on."""
        execute(self.conn, f"INSERT INTO {NAME} ({COLUMN}) SELECT {values} FROM generate_series(0, 999) AS i")
        if analyze:
            execute(self.conn, f"ANALYZE {NAME}")

    def look(self, conn: Connection | None = None) -> tuple[TableFacts, Column]:
        """The table and its time column."""
        conn = conn or self.conn
        oid, _ = resolve_table(conn, NAME)
        time = next(column for column in columns(conn, oid) if column.name == TIME)
        return table_facts(conn, oid, server_facts(conn)), time

    def ways(self, interval: str | None = None) -> tuple[ScanFacts | None, ScanFacts, list[Reading]]:
        """The facts as `scan` has them and those of the pass over all rows (without seconds), and what was announced."""
        table, time = self.look()
        told: list[Reading] = []
        facts = scan(self.conn, table, time, interval, told.append)
        width, text = interval_width(self.conn, table, time, interval)
        return facts and replace(facts, seconds=0.0), whole_pass(self.conn, table, time, width, text), told

    def by_index(self, interval: str | None = None) -> ScanFacts:
        """The facts, which are the same in both ways; they come by the index."""
        facts, passed, told = self.ways(interval)
        assert facts is not None
        assert (facts.rows_exact, [reading.by_index for reading in told]) == (False, [True])
        assert replace(facts, rows_exact=True) == passed
        return facts

    def by_pass(self, interval: str | None = None) -> list[Reading]:
        """The facts come by the pass; what was announced."""
        facts, passed, told = self.ways(interval)
        assert facts is not None
        assert facts.rows_exact
        assert told[-1].by_index is False
        assert replace(facts, check_violations=()) == passed
        return told


@pytest.fixture
def place(db: Database) -> Iterator[Place]:
    with connect(db.dsn) as conn:
        yield Place(db, conn)


def numbers(kind: str, width: int) -> st.SearchStrategy[int]:
    """Values about the ends of buckets, in the unit of the type: many near one another, some far off, a few anywhere."""
    limit = min(LIMITS.get(kind, 2**53), 2**53) - 1
    near = st.builds(lambda b, d: b * width + d, st.integers(-6, 6), st.sampled_from([-2, -1, 0, 1, 2, width // 2]))
    far = st.builds(lambda b, d: b * width + d, st.integers(-5_000, 5_000), st.integers(-1, 1))
    return st.one_of(near, near, near, far, st.integers(-limit, limit)).filter(lambda n: abs(n) <= limit)


@st.composite
def data(draw: st.DrawFn, kind: str) -> tuple[str, list[tuple[int, int]], list[str | None], str]:
    """The width, numbers with how many rows have each, values as text, the index."""
    width = draw(st.sampled_from(WIDTHS["integer" if kind in LIMITS else "moment"]))
    unit = {"7 days": 7 * DAY, "1 month": 30 * DAY, "36 hours": DAY * 3 // 2, "400 years": 146_097 * DAY, "11 minutes": 660 * SECOND}.get(
        width, 333_333
    )
    values = numbers(kind, int(width) if kind in LIMITS else unit)
    rows = draw(st.lists(st.tuples(values, st.sampled_from([1, 1, 2, 40])), max_size=25))
    texts = draw(st.lists(st.none() | st.sampled_from(EXTREMES[kind]), max_size=6))
    return width, rows, texts, draw(st.sampled_from(INDEXES))


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz", "smallint", "integer", "bigint"])
def test_the_index_says_what_a_pass_over_the_rows_says(place: Place, kind: str) -> None:
    into = f"INSERT INTO {NAME.replace('%', '%%')} ({COLUMN})"
    insert = into + " SELECT {} FROM unnest(%s::int8[], %s::int[]) AS r(n, times), generate_series(1, r.times)"
    value = "n" if kind in LIMITS else "timestamp 'epoch' + n * interval '1 microsecond'"
    used: list[Any] = []
    # What there must be one of, whatever is drawn.
    wide, unit = ("7", 1) if kind in LIMITS else ("7 days", DAY)

    @example((wide, [(0, 40), (8 * unit, 40), (30_000 * unit, 1)], [None], "({t})"))
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data(kind))
    def same(drawn: tuple[str, list[tuple[int, int]], list[str | None], str]) -> None:
        width, rows, texts, index = drawn
        if kind == "smallint" and int(width) > 2**15:
            width = "300"
        place.make(kind, index)
        numbered = [[n for n, _ in rows], [times for _, times in rows]]
        execute(place.conn, insert.format(f"({value})::{kind}"), numbered)
        execute(place.conn, into + f" SELECT unnest(%s::text[])::{kind}", [texts])
        execute(place.conn, f"ANALYZE {NAME}")
        if rows or texts:
            facts = place.by_index(width)
            used.append((facts.far_rows > 0, facts.nulls > 0, facts.buckets > 1))
        else:
            place.by_pass(width)

    same()
    for what in zip(*used, strict=True):
        assert any(what), "the data show far rows, NULLs and several buckets"


def test_far_rows_are_found_at_either_end(place: Place) -> None:
    place.make("timestamptz", "({t} DESC)")
    place.fill("'2024-01-01'::timestamptz + i * interval '1 hour'", analyze=False)
    execute(
        place.conn,
        f"INSERT INTO {NAME} ({COLUMN}) VALUES ('1970-01-01'), ('1969-12-31 23:59:59'), ('2200-01-01 12:00'), ('2200-01-01 13:00'), "
        f"(NULL), ('infinity'), ('-infinity'), ('-infinity'); ANALYZE {NAME}",
    )
    facts = place.by_index()
    assert (facts.rows, facts.nulls, facts.infinite) == (1008, 1, 3)
    assert (facts.far_rows, facts.far_buckets) == (4, 3)
    assert facts.far_examples == (
        "1969-12-31 23:59:59+00",
        "1970-01-01 00:00:00+00",
        "2200-01-01 12:00:00+00",
        "2200-01-01 13:00:00+00",
    )


@pytest.mark.parametrize("index", INDEXES)
def test_no_probe_reads_the_table_or_sorts(place: Place, index: str) -> None:
    """Or the look at a billion rows would take hours for each bucket."""
    place.make("timestamptz", index)
    place.fill()
    # Something that looks cheaper for every part of it but the probes.
    execute(place.conn, f"CREATE INDEX ON {NAME} (id, {COLUMN})")
    execute(place.conn, f"VACUUM {NAME}")
    table, time = place.look()
    found = by_index.prospect(place.conn, table, time)
    assert found is not None
    statement = by_index._statement(table, time, 604800.0, found)
    with place.conn.transaction():
        by_index.keep_to_index(place.conn)
        ((plan,),) = fetch_all(place.conn, sql.SQL("EXPLAIN (FORMAT JSON) {}").format(statement))
        locks = fetch_all(
            place.conn,
            f"SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = {table.oid}",
        )
    reads = list(_reads(plan[0]["Plan"], ""))
    assert len(reads) >= 8
    assert {read for read in reads if "Sort" in read or "Index" not in read} == set()
    assert locks == [("AccessShareLock",)]


def _reads(node: dict[str, Any], above: str) -> Iterator[str]:
    """How the table is read, node by node, each with the node above it."""
    if "Relation Name" in node:
        yield f"{above} > {node['Node Type']} {node.get('Index Name')}"
    for child in node.get("Plans", ()):
        yield from _reads(child, node["Node Type"])


@pytest.mark.parametrize(
    "index",
    [
        None,
        "(({t} + interval '1 hour'))",
        "({t}) WHERE v > 0",
        "USING brin ({t})",
        "USING hash ({t})",
        "(v, {t})",
        "(v) INCLUDE ({t})",
    ],
)
def test_an_index_that_does_not_hold_every_time_in_order_does_not_serve(place: Place, index: str | None) -> None:
    place.make("timestamp", index)
    place.fill()
    assert [reading.by_index for reading in place.by_pass()] == [False]


@pytest.mark.parametrize("broken", ["indisvalid", "indisready", "indislive"])
def test_an_index_that_is_not_finished_does_not_serve(place: Place, broken: str) -> None:
    place.make("date")
    place.fill()
    place.by_index()
    execute(place.conn, f"UPDATE pg_index SET {broken} = false WHERE indexrelid = '\"my.schema\".\"odd \"\"i\"'::regclass")
    place.by_pass()


def test_a_table_that_was_never_counted_is_read(place: Place) -> None:
    place.make("date")
    place.fill(analyze=False)
    place.by_pass()


def test_a_small_table_is_read_and_one_of_few_but_wide_rows_is_not(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_index, "ROWS", 1001)
    place.make("date")
    place.fill()
    place.by_pass()
    monkeypatch.setattr(by_index, "BYTES", 8192)
    place.by_index()


def test_too_many_buckets_are_not_looked_for_one_by_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make("date")
    place.fill()
    assert place.by_index("1 day").buckets == 100
    monkeypatch.setattr(by_index, "PROBES", 100)
    assert place.by_index("1 day").buckets == 100
    monkeypatch.setattr(by_index, "PROBES", 99)
    assert [reading.by_index for reading in place.by_pass("1 day")] == [True, False], "both are announced"


def test_a_check_that_was_never_validated_has_its_rows_counted(place: Place) -> None:
    place.make("date")
    place.fill()
    execute(place.conn, f"ALTER TABLE {NAME} ADD CONSTRAINT c CHECK (id > 10) NOT VALID")
    place.by_pass()
    table, time = place.look()
    facts = scan(place.conn, table, time, None)
    assert facts is not None
    assert facts.check_violations == (("c", 10),)


def test_a_uuid_is_read_to_see_its_version(place: Place) -> None:
    place.make("uuid")
    place.fill("gen_random_uuid()")
    place.by_pass()


def test_statistics_that_are_far_from_the_truth_are_not_believed(place: Place) -> None:
    """A table that was emptied, or nearly, since it was last counted."""
    place.make("date")
    place.fill()
    execute(place.conn, f"UPDATE pg_class SET reltuples = 1e7 WHERE oid = '{NAME}'::regclass")
    place.by_pass()
    execute(place.conn, f"DELETE FROM {NAME}")
    assert place.by_index().rows == 0


def test_the_number_of_rows_grows_with_the_pages(place: Place) -> None:
    assert by_index.rows_by_statistics(1000, 10, 15) == 1500
    assert by_index.rows_by_statistics(-1, 0, 15) is None
    assert by_index.rows_by_statistics(0, 10, 15) is None
    place.make("date")
    for _ in range(4):
        place.fill(analyze=False)
    execute(place.conn, f"ANALYZE {NAME}")
    place.fill(analyze=False)
    table, time = place.look()
    facts = scan(place.conn, table, time, None)
    assert facts is not None
    assert not facts.rows_exact
    assert 4500 <= facts.rows <= 5500


def test_a_role_needs_the_time_alone_and_is_not_shown_part_of_the_rows(place: Place) -> None:
    place.make("date")
    place.fill()
    role = place.db.make_role("reader")
    execute(place.conn, f'GRANT USAGE ON SCHEMA "my.schema" TO "{role}"; GRANT SELECT (v) ON {NAME} TO "{role}"')
    with connect(place.db.dsn_as(role)) as conn:
        assert scan(conn, *place.look(conn), None) is None
        execute(place.conn, f'GRANT SELECT ({COLUMN}) ON {NAME} TO "{role}"')
        facts = scan(conn, *place.look(conn), None)
        assert facts is not None
        assert replace(facts, seconds=0.0) == place.by_index()
        execute(place.conn, f"ALTER TABLE {NAME} ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON {NAME} USING (v > 1)")
        assert scan(conn, *place.look(conn), None) is None


def test_settings_of_the_session_are_as_they_were(place: Place) -> None:
    place.make("date")
    place.fill()
    place.by_index()
    assert fetch_value(place.conn, "SELECT current_setting('enable_seqscan')") == "on"
    execute(place.conn, "SET enable_indexscan = off; SET enable_indexonlyscan = off")
    place.by_index()


def test_an_estimate_is_said_to_be_one(place: Place) -> None:
    place.make("date")
    place.fill()
    seen = inspect(place.conn, NAME, TIME)
    said = " ".join(line.text for line in inspection_lines(seen))
    assert "about 1,000 rows, " in said
    assert "the times from an index" in said
    assert about_to_read("t", True, 1.0) is None
    assert about_to_read("t", True, 3.0) == "Looking up the times of t in an index; this takes about 3.0 s."
    assert about_to_read("t", False, 3.0) == "Reading every row of t once; this takes about 3.0 s."


def test_facts_that_were_stored_before_were_counted() -> None:
    old = {
        "rows": 5, "nulls": 0, "infinite": 0, "minimum": None, "maximum": None, "buckets": 0, "far_rows": 0, "far_examples": [],
        "check_violations": [], "seconds": 0.1, "interval": "7 days",
    }  # fmt: skip
    assert TypeAdapter(ScanFacts).validate_python(old).rows_exact
