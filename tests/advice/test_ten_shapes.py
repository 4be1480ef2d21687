"""Ten shapes of data on real servers: what is advised is what the rule gives by hand, worked out here by SQL and arithmetic of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

import servers
from hyperferry.advice import width
from hyperferry.advising import AdviseOptions, advise
from hyperferry.model.advice import Advice
from hyperferry.planner import interval
from servers import Database, Server

from .made import numbers, one

DAY = 86_400
HOURS = (1, 2, 3, 6, 12, *(24 * n for n in (1, 2, 3, 7, 14, 30, 60, 90, 180, 365, 730, 1825, 3650)))
PLAIN = "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant int NOT NULL, value float8, ts {} NOT NULL"
ROWS = "INSERT INTO {name} (tenant, value, ts) SELECT {tenant}, i % 97, {time} FROM generate_series(0, {last}) AS i"
EPOCH = "extract(epoch FROM timestamptz '2026-01-01 00:00+00' + i * interval '10 minutes')"

SHAPES: dict[str, dict[str, Any]] = {
    # 6,000 rows, one each ten minutes: 41.7 days.
    "steady": {"time": "timestamptz '2026-01-01 00:00+00' + i * interval '10 minutes'"},
    # A hundred days of 20 rows, and 4,000 in six hours of the ninetieth.
    "bursty": {
        "time": "timestamptz '2026-01-01 00:00+00' + CASE WHEN i < 2000 THEN i * interval '72 minutes' "
        "ELSE interval '90 days' + (i - 2000) * interval '5.4 seconds' END"
    },
    # Four Augusts of 30 days.
    "season": {"time": "timestamptz '2022-08-01 00:00+00' + (i % 4) * interval '1 year' + (i / 4) * interval '28.8 minutes'"},
    # The newest first, then whatever was missing, day by day at random.
    "backfilled": {"time": "timestamptz '2026-03-01 00:00+00' - ((i * 7919) % 6000) * interval '15 minutes'"},
    # One of 100 tenants has half of the rows.
    "skewed": {"time": "timestamptz '2026-01-01 00:00+00' + i * interval '10 minutes'", "tenant": "CASE WHEN i % 2 = 0 THEN 0 ELSE i % 100 END"},
    # A row in nine days, for 30 years.
    "sparse": {"time": "timestamptz '1996-01-01 00:00+00' + i * interval '9 days'", "last": 1_217},
    "seconds": {"type": "bigint", "time": f"{EPOCH}::bigint", "unit": 1},
    "milliseconds": {"type": "bigint", "time": f"({EPOCH} * 1000)::bigint", "unit": 1_000},
    "microseconds": {"type": "bigint", "time": f"({EPOCH} * 1000000)::bigint", "unit": 1_000_000},
    "by_date": {"type": "date", "time": "date '2026-01-01' + i / 100"},
    # Two rows of a century to come.
    "outlier": {"time": "CASE WHEN i IN (7, 4711) THEN timestamptz '2173-05-05 00:00+00' ELSE timestamptz '2026-01-01 00:00+00' + i * interval '10 minutes' END"},
}  # fmt: skip


@pytest.fixture(scope="module")
def shapes(server: Server) -> Iterator[Database]:
    """A database with a table of each shape."""
    database = servers.make_database(server)
    for name, made in SHAPES.items():
        database.execute(f"CREATE TABLE {name} ({PLAIN.format(made.get('type', 'timestamptz'))})")
        database.execute(
            ROWS.format(name=name, tenant=made.get("tenant", "i % 100"), time=made["time"], last=made.get("last", 5_999))
        )
        database.execute(f"CREATE INDEX ON {name} (ts); ANALYZE {name}")
    yield database
    servers.drop_database(database)


class ByHand:
    """The rule, from the rows themselves: every row is read, and counted in the steps that the vendor's rule knows."""

    def __init__(self, db: Database, name: str, share: float) -> None:
        self.db, self.name = db, name
        self.unit = SHAPES[name].get("unit", 1)
        place = "ts" if "unit" in SHAPES[name] else "extract(epoch FROM ts)"
        self.rows = [float(row[0]) for row in db.execute(f"SELECT {place} FROM {name} WHERE {place} < 4102444800::numeric * {self.unit}")]
        (self.total, self.index, buffers), = db.execute(
            f"SELECT pg_total_relation_size('{name}'), pg_indexes_size('{name}'), pg_size_bytes(current_setting('shared_buffers'))"
        )  # fmt: skip
        self.memory = float(buffers) * share
        self.span = min(max(self.rows) - min(self.rows), len(self.intervals(7 * 24)) * 7 * DAY * self.unit)

    def intervals(self, hours: int, since: float = 0.0) -> dict[int, int]:
        """Rows by interval of so many hours, of those that end after a place."""
        wide = hours * 3600 * self.unit
        found: dict[int, int] = {}
        for row in self.rows:
            found[int(row // wide)] = found.get(int(row // wide), 0) + 1
        return {n: rows for n, rows in found.items() if (n + 1) * wide > since}

    def hours(self) -> int:
        """The width: fits on average; not too many chunks, nor many of next to nothing; fits in the busiest interval of a year."""
        steps = [each for each in HOURS if each >= 24 or SHAPES[self.name].get("type") != "date"]
        part = lambda hours: min(1.0, hours * 3600 * self.unit / self.span)  # noqa: E731
        fitting = [each for each in steps if each <= 7 * 24 and self.index * part(each) <= self.memory]
        chosen = fitting[-1] if fitting else steps[0]

        def wanting(hours: int) -> bool:
            chunks = self.span // (hours * 3600 * self.unit) + 1
            return chunks > 1000 or (chunks > 100 and self.total * hours * 3600 * self.unit < 8 * 1024**2 * self.span)

        if wanting(chosen):
            chosen = next((each for each in steps if each > chosen and not wanting(each)), steps[-1])
        since = max(self.rows) - 365 * DAY * self.unit
        peak = lambda hours: max(self.intervals(hours, since).values()) / len(self.rows) * self.index  # noqa: E731
        if peak(chosen) > self.memory and len(self.intervals(chosen)) > 1:
            for each in reversed([step for step in steps if step < chosen]):
                count = len(self.intervals(each))
                if count > 1000 or (count > 100 and self.total / count < 8 * 1024**2):
                    break
                if peak(each) <= self.memory:
                    return each
        return chosen


def words(hours: int) -> str:
    number, unit = (hours // 24, "day") if hours % 24 == 0 else (hours, "hour")
    return f"{number} {unit}{'' if number == 1 else 's'}"


def ask(db: Database, name: str, **options: Any) -> Advice:
    return advise(AdviseOptions(db.dsn, name, None if "hyper" in name else "ts", **options))


@pytest.mark.parametrize("name", SHAPES)
def test_the_interval_is_the_one_by_hand(shapes: Database, name: str) -> None:
    hand = ByHand(shapes, name, 0.25)
    found = numbers(one(ask(shapes, name), "chunk-interval"))
    assert found["interval"] == words(hand.hours())
    assert found["chunks_now"] == len(hand.intervals(hand.hours()))


@pytest.mark.parametrize("name", SHAPES)
def test_the_interval_is_the_one_by_hand_where_memory_is_short(
    shapes: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose memory holds the indexes of three days on average."""
    whole = ByHand(shapes, name, 1.0)
    share = whole.index * 3.2 * DAY * whole.unit / whole.span / whole.memory
    monkeypatch.setattr(interval, "MEMORY_SHARE", share)
    monkeypatch.setattr(width, "MEMORY_SHARE", share)
    hand = ByHand(shapes, name, share)
    found = numbers(one(ask(shapes, name), "chunk-interval"))
    assert found["interval"] == words(hand.hours())
    assert found["chunks_now"] == len(hand.intervals(hand.hours()))
    if name in ("steady", "seconds", "microseconds", "outlier", "skewed"):
        assert found["interval"] == "3 days"


def test_a_burst_is_said_and_makes_the_chunks_narrower(shapes: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thirds of all rows within six hours: where the indexes of a third of them fit, chunks of a few hours."""
    whole = ByHand(shapes, "bursty", 1.0)
    share = 0.5 * whole.index / whole.memory
    monkeypatch.setattr(interval, "MEMORY_SHARE", share)
    monkeypatch.setattr(width, "MEMORY_SHARE", share)
    advice = ask(shapes, "bursty")
    assert numbers(one(advice, "chunk-interval"))["interval"] == words(ByHand(shapes, "bursty", share).hours())
    assert "in bursts" in dict(advice.facts)["density"]
    assert "evenly" in dict(ask(shapes, "steady").facts)["density"]


def test_a_season_leaves_gaps(shapes: Database) -> None:
    advice = ask(shapes, "season")
    wide = round(numbers(one(advice, "chunk-interval"))["width"])
    filled = sorted(ByHand(shapes, "season", 1.0).intervals(wide // 3600))
    gaps = [(b - a - 1) * wide / DAY for a, b in pairwise(filled) if b > a + 1]
    assert dict(advice.facts)["gaps"].startswith(f"{len(gaps)} stretches without a row, {sum(gaps):,.0f} days in all")
    assert sum(bar.rows for bar in advice.bars) == pytest.approx(6_000)
    assert any(bar.rows == 0 for bar in advice.bars)


def test_what_was_backfilled_came_late(shapes: Database) -> None:
    """By the order of the rows: half of them lie weeks behind what came before. In the steady table none does."""
    late, steady = (dict(ask(shapes, name).facts)["late rows"] for name in ("backfilled", "steady"))
    assert "the order in which the rows lie on disk" in late
    assert "99.9 % within 3" in late  # of 62.5 days, behind the middle of the pages: more than thirty
    assert "99.9 % within 0 seconds" in steady
    after = numbers(one(ask(shapes, "backfilled"), "compress-after"))
    assert after["after_seconds"] in (30 * DAY, 60 * DAY, 90 * DAY)
    assert after["after_seconds"] >= after["late_seconds"]


def test_one_tenant_that_has_half_of_the_rows_is_seen(shapes: Database) -> None:
    ((share,),) = shapes.execute("SELECT count(*) FILTER (WHERE tenant = 0)::float8 / count(*) FROM skewed")
    assert any(name == "skew" and "tenant" in text and f"{share:.0%}" in text for name, text in ask(shapes, "skewed").facts)
    assert all(name != "skew" for name, _ in ask(shapes, "steady").facts)


@pytest.mark.parametrize("name", ["seconds", "milliseconds", "microseconds"])
def test_an_integer_time_is_advised_in_its_own_unit(shapes: Database, name: str) -> None:
    hand = ByHand(shapes, name, 0.25)
    advice = ask(shapes, name)
    assert advice.axis.unit == name
    assert one(advice, "chunk-interval").toml == f"chunk_interval = {hand.hours() * 3600 * hand.unit}"
    assert f"after = {hand.hours() * 3600 * hand.unit}" in one(advice, "compress-after").toml
    wrong = 7 * DAY * 1_000_000
    warned = [each.message for each in ask(shapes, name, given=str(wrong)).cautions if each.rule == "units"]
    assert bool(warned) == (name != "microseconds")


def test_an_outlier_is_warned_of_and_changes_nothing_else(shapes: Database) -> None:
    advice, steady = ask(shapes, "outlier"), ask(shapes, "steady")
    (caution,) = advice.cautions
    assert caution.message.startswith("2 rows lie far from the rest")
    assert "2173-05-05" in caution.message
    assert steady.cautions == ()
    for key in ("interval", "chunks_now"):
        assert numbers(one(advice, "chunk-interval"))[key] == numbers(one(steady, "chunk-interval"))[key]


def test_after_the_move_it_is_the_same_but_for_the_chunks_there_are(shapes: Database) -> None:
    """The steady table again, as a hypertable of seven days: 42 days make six or seven chunks, and none is to be made otherwise."""
    shapes.execute("DROP TABLE IF EXISTS steady_hyper; CREATE TABLE steady_hyper (LIKE steady INCLUDING DEFAULTS)")
    shapes.execute("ALTER TABLE steady_hyper ALTER id DROP NOT NULL, ALTER id DROP DEFAULT")
    shapes.execute("SELECT create_hypertable('steady_hyper', 'ts', chunk_time_interval => interval '7 days')")
    shapes.execute("INSERT INTO steady_hyper SELECT * FROM steady; CREATE INDEX ON steady_hyper (ts DESC, tenant); ANALYZE steady_hyper")
    advice = ask(shapes, "steady_hyper")
    found = numbers(one(advice, "chunk-interval"))
    ((chunks,),) = shapes.execute("SELECT count(*) FROM show_chunks('steady_hyper')")
    assert (found["chunks_now"], found["interval"]) == (chunks, "7 days")
    assert sum(bar.rows for bar in advice.bars) == pytest.approx(6_000)
    assert dict(advice.facts)["chunks"].startswith(f"{chunks} of 7 days")
    ((size,),) = shapes.execute("SELECT hypertable_size('steady_hyper')")
    ((index,),) = shapes.execute("SELECT index_bytes FROM hypertable_detailed_size('steady_hyper')")
    from hyperferry.words import size as as_words

    assert as_words(size) in dict(advice.facts)["rows"]
    assert as_words(index) in dict(advice.facts)["rows"]
    gone = one(advice, "superfluous-index")
    assert numbers(gone)["index"] == "steady_hyper_ts_idx"
    shapes.execute("SET lock_timeout = '60s'; " + gone.action)
    assert all(each.rule != "superfluous-index" for each in ask(shapes, "steady_hyper").recommendations)
