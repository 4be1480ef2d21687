"""Each rule on a table made for it."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperferry.advice import case_of
from hyperferry.model.advice import Advice
from hyperferry.model.axis import Axis
from hyperferry.model.distribution import ChunkFacts, Distribution, IndexUse, Writes
from hyperferry.model.inspection import Inspection
from planner.made_inspections import MB, PRIMARY, column, index, inspection

from .made import (
    DAY,
    NOW,
    START,
    advice_on,
    distribution,
    lag,
    numbers,
    one,
    per,
    said,
    spread,
    table,
    use,
    values,
)

BY_PLAYER = use("SELECT * FROM t WHERE player_id = $1 AND ts > $2", calls=900)
BY_TYPE = use("SELECT stat_type, count(*) FROM t WHERE ts > $1 GROUP BY stat_type", calls=300)
BY_ID = use("SELECT * FROM t WHERE id = $1", calls=50)


def on_community(d: Distribution) -> Distribution:
    server = replace(d.inspection.server, edition="community")
    return replace(d, inspection=replace(d.inspection, server=server))


def file_of(advice: Advice) -> dict[str, Any]:
    """The lines for hyperferry.toml, as a TOML parser reads them."""
    return tomllib.loads(advice.toml)


# Compression


def test_segments_are_what_queries_ask_by_and_what_has_rows_enough() -> None:
    """18,519 rows a chunk: 50 players leave 370 each; by 5 types besides 74, which is too little; ids have one each."""
    advice = advice_on(on_community(distribution(statements=(BY_PLAYER, BY_TYPE, BY_ID))))
    found = one(advice, "segment-by")
    chunks = numbers(one(advice, "chunk-interval"))["chunks_now"]
    assert numbers(found)["segment_by"] == ["player_id"]
    assert numbers(found)["rows_per_value_and_chunk.player_id"] == pytest.approx(1_000_000 / chunks / 50, abs=0.1)
    assert numbers(found)["rows_per_value_and_chunk.stat_type"] == pytest.approx(1_000_000 / chunks / 50 / 5, abs=0.1)
    assert file_of(advice)["compression"]["segment_by"] == ["player_id"]
    assert file_of(advice)["compression"]["order_by"] == ["ts DESC", "id"]


def test_what_an_interval_holds_counts_more_than_the_whole() -> None:
    """760 games in all, but ten in a week: 2,000 rows each, not 26."""
    made = distribution(statements=(use("SELECT * FROM t WHERE player_id = $1"),), columns=(values("player_id", 760),))
    assert numbers(one(advice_on(made), "segment-by"))["segment_by"] == []
    made = replace(made, per_interval=(per("player_id", 20_000.0, 10.0),))
    assert numbers(one(advice_on(made), "segment-by"))["segment_by"] == ["player_id"]


def test_a_column_that_hardly_any_call_asks_by_is_no_segment() -> None:
    rare = use("SELECT * FROM t WHERE stat_type = $1", calls=5)
    found = one(advice_on(distribution(statements=(BY_PLAYER, rare))), "segment-by")
    assert numbers(found)["segment_by"] == ["player_id"]
    assert any(line.startswith("not stat_type") for line in found.reason)


def test_without_statements_the_indexes_speak() -> None:
    made = distribution(table(indexes=(index("t_player", "player_id", "ts"),)))
    found = one(advice_on(made), "segment-by")
    assert numbers(found)["segment_by"] == ["player_id"]
    assert any("no statement is known" in line for line in found.reason)
    assert numbers(one(advice_on(distribution()), "segment-by"))["segment_by"] == []


def test_compression_comes_after_the_last_updates() -> None:
    """Rows come within 5 hours, changes within 20 days: 30 days is the next length, longer than a chunk of 7."""
    made = distribution(arrival=lag(p999=5 * 3600.0), touched=lag(p999=20 * DAY))
    advice = advice_on(on_community(made))
    assert numbers(one(advice, "compress-after"))["after_seconds"] == 30 * DAY
    assert file_of(advice)["compression"]["after"] == "30 days"
    assert file_of(advice)["updates_within"] == "30 days"


def test_compression_waits_for_one_chunk_at_least() -> None:
    made = distribution(arrival=lag(p999=60.0), writes=Writes(1_000_000, 0, 0, None))
    advice = advice_on(on_community(made))
    assert file_of(advice)["compression"]["after"] == "7 days"
    assert "updates_within" not in file_of(advice)


def test_the_order_on_disk_is_evidence_only_while_nothing_is_rewritten() -> None:
    made = distribution(disorder=lag("the order in which the rows lie on disk", p999=13 * DAY))
    assert case_of(replace(made, writes=Writes(1_000_000, 0, 0, None))).late is not None
    assert case_of(replace(made, writes=Writes(1_000_000, 500_000, 0, None))).late is None


def test_where_nothing_tells_of_updates_that_is_said() -> None:
    advice = advice_on(distribution(writes=Writes(1_000_000, 5_000, 10, None)))
    reason = " ".join(one(advice, "compress-after").reason)
    assert "how late updates come is not known (5,010 updates and deletes were counted)" in reason
    assert dict(advice.facts)["late updates"].startswith("not known")


def test_updates_of_closed_chunks_are_said() -> None:
    chunks = tuple(
        ChunkFacts(f"c{n}", START + n * 7 * DAY, START + (n + 1) * 7 * DAY, 20_000, MB, MB, False, 9 if n == 3 else 0, 0)
        for n in range(52)
    )
    made = distribution(
        table(kind="hypertable"), chunks=chunks, interval=7 * DAY, spread=spread(364), writes=Writes(1_000_000, 9, 0, None)
    )
    assert any("of 51 chunks that are no longer the newest, 1 had" in line for line in one(advice_on(made), "compress-after").reason)


def test_the_apache_edition_is_told_what_it_cannot_do() -> None:
    daily = use("SELECT time_bucket('1 day', ts) AS d, sum(value) FROM t GROUP BY 1")
    old = use("DELETE FROM t WHERE ts < $1")
    advice = advice_on(distribution(statements=(daily, old)))
    for rule in ("segment-by", "compress-after", "retention", "continuous-aggregate"):
        assert "Apache" in (one(advice, rule).unavailable or ""), rule
    assert file_of(advice) == {"table": "public.t", "time_column": "ts", "chunk_interval": "7 days"}
    assert "# [[continuous_aggregate]]" in advice.toml
    assert all(each.unavailable is None for each in advice_on(on_community(distribution(statements=(daily, old)))).recommendations)


# Retention


def test_retention_needs_evidence() -> None:
    advice = advice_on(on_community(distribution(statements=(BY_PLAYER,))))
    found = one(advice, "retention")
    assert found.toml == ""
    assert "1,000,000 rows" in " ".join(found.reason)
    assert "retention" not in file_of(advice)


def test_deletes_by_time_are_evidence() -> None:
    """The oldest row is 100 days old, for a job deletes older ones: 180 days is the next length."""
    made = distribution(
        statements=(use("DELETE FROM t WHERE ts < now() - interval '90 days'", calls=40),), spread=spread(100, start=NOW - 100 * DAY)
    )
    advice = advice_on(on_community(made))
    assert file_of(advice)["retention"] == {"after": "180 days"}
    assert any("90 days" in line and "write it instead" in line for line in one(advice, "retention").reason)


def test_deletes_by_key_are_none() -> None:
    assert one(advice_on(distribution(statements=(use("DELETE FROM t WHERE id = $1"),))), "retention").toml == ""


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM t WHERE player_id = $1 AND ts >= $2",
        "DELETE FROM t WHERE player_id = $1 AND ts < $2",
        "DELETE FROM t WHERE ts >= now() - interval '1 day'",
        "DELETE FROM t WHERE ts BETWEEN $1 AND $2",
        "DELETE FROM t WHERE ts < $1 AND note IS NOT NULL",
        "DELETE FROM t WHERE ts < $1 OR id = $2",
    ],
)
def test_deletes_that_leave_old_rows_are_none(statement: str) -> None:
    advice = advice_on(on_community(distribution(statements=(use(statement),))))
    found = one(advice, "retention")
    assert "retention" not in file_of(advice)
    assert numbers(found)["deletes_by_time"] == 0
    assert any(line.startswith("a DELETE by ts that asks for something else too") and statement in line for line in found.reason)


def test_of_several_deletes_those_of_old_rows_count() -> None:
    one_players, old = use("DELETE FROM t WHERE player_id = $1 AND ts >= $2", calls=70), use("DELETE FROM t WHERE $1 > ts", calls=30)
    found = one(advice_on(on_community(distribution(statements=(one_players, old)))), "retention")
    assert numbers(found)["deletes_by_time"] == 30
    assert "DELETE FROM t WHERE $1 > ts" in found.reason[0]
    assert found.toml.startswith("[retention]")


# Superfluous indexes


def superfluous(*indexes: Any, kind: str = "table", **changes: Any) -> dict[str, str]:
    made: Inspection = table(indexes=indexes, kind=kind)
    advice = advice_on(distribution(made, **changes))
    return {str(numbers(each)["index"]): " ".join(each.reason) for each in said(advice, "superfluous-index")}


def test_a_beginning_of_another_is_superfluous() -> None:
    found = superfluous(index("a", "player_id"), index("b", "player_id", "ts"))
    assert list(found) == ["a"]
    assert "b begins with its columns" in found["a"]


def test_of_two_equal_ones_one_stays() -> None:
    assert len(superfluous(index("a", "player_id"), index("b", "player_id"))) == 1
    assert len(superfluous(index("a", "player_id"), index("b", "player_id"), index("c", "player_id"))) == 2


def test_turned_round_as_a_whole_it_serves_as_well() -> None:
    down = index("a", "ts", tail="USING btree (ts DESC)")
    assert list(superfluous(down, index("b", "ts", "player_id", tail="USING btree (ts, player_id)"))) == ["a"]
    mixed = index("b", "ts", "player_id", tail="USING btree (ts DESC, player_id)")
    both_up = index("c", "ts", "player_id", "value", tail="USING btree (ts, player_id, value)")
    assert superfluous(mixed, both_up) == {}


@pytest.mark.parametrize(
    "other",
    [
        index("b", "ts", "player_id"),
        index("b", "player_id", "ts", predicate="(value > 0)", tail="USING btree (player_id, ts) WHERE (value > 0)"),
        index("b", "player_id", "ts", valid=False),
        index("b", "player_id", "ts", method="gist"),
    ],
)  # fmt: skip
def test_what_does_not_serve_the_same_makes_nothing_superfluous(other: Any) -> None:
    assert superfluous(index("a", "player_id"), other) == {}


def test_what_keeps_a_rule_or_carries_more_stays() -> None:
    assert superfluous(index("a", "player_id", unique=True), index("b", "player_id", "ts")) == {}
    assert superfluous(index("a", "player_id", included=("value",)), index("b", "player_id", "ts")) == {}
    assert superfluous(index("a", "player_id", replica_identity=True), index("b", "player_id", "ts")) == {}


def test_brin_on_the_time_is_what_chunks_are() -> None:
    assert list(superfluous(index("a", "ts", method="brin", tail="USING brin (ts)"))) == ["a"]


def test_the_plain_index_on_the_time_of_a_hypertable() -> None:
    found = superfluous(
        index("t_ts_idx", "ts", tail="USING btree (ts DESC)"), index("b", "ts", "id", tail="USING btree (ts DESC, id DESC)"),
        kind="hypertable", interval=7 * DAY,
    )  # fmt: skip
    assert "TimescaleDB makes of itself" in found["t_ts_idx"]


def test_an_unused_one_needs_counters_that_say_so() -> None:
    both = (index("a", "player_id"), index("b", "value"))
    used = (IndexUse("t_pkey", 1, 5_000), IndexUse("a", 1, 0), IndexUse("b", 1, 50))
    old, young = Writes(1, 0, 0, "2023-01-01 00:00:00+00", 24.0 * 30), Writes(1, 0, 0, "2023-01-01 00:00:00+00", 24.0)
    assert list(superfluous(*both, indexes=used, writes=old)) == ["a"]
    assert superfluous(*both, indexes=used, writes=young) == {}
    assert superfluous(*both, indexes=(IndexUse("t_pkey", 1, 5), IndexUse("a", 1, 0)), writes=old) == {}


# Indexes worth having


def worthwhile(*statements: Any, indexes: tuple[Any, ...] = (), **changes: Any) -> list[dict[str, Any]]:
    advice = advice_on(distribution(table(indexes=indexes), statements=statements, **changes))
    return list(file_of(advice).get("index", []))


def test_a_frequent_question_without_an_index() -> None:
    assert worthwhile(BY_PLAYER) == [{"name": "t_player_id_ts_idx", "columns": ["player_id", "ts DESC"]}]


def test_none_where_an_index_serves_it() -> None:
    assert worthwhile(BY_PLAYER, indexes=(index("a", "player_id", "ts"),)) == []
    assert worthwhile(BY_ID) == []  # the primary key


def test_none_for_what_is_rare_or_leaves_too_many_rows() -> None:
    assert worthwhile(replace(BY_PLAYER, calls=3)) == []
    assert worthwhile(use("SELECT * FROM t WHERE stat_type = $1")) == []  # a fifth of the rows


def test_a_covering_one_where_few_narrow_columns_are_read() -> None:
    narrow = use("SELECT value FROM t WHERE player_id = $1 AND ts > $2")
    assert worthwhile(narrow)[0]["include"] == ["value"]
    assert worthwhile(narrow, indexes=(index("a", "player_id", "ts"),))[0]["include"] == ["value"]
    assert worthwhile(narrow, indexes=(index("a", "player_id", "ts", included=("value",)),)) == []


def test_a_partial_one_where_few_rows_meet_a_condition_without_a_value() -> None:
    open_ones = use("SELECT * FROM t WHERE note IS NOT NULL AND player_id = $1")
    assert worthwhile(open_ones)[0]["where"] == "note IS NOT NULL"
    assert "where" not in worthwhile(use("SELECT * FROM t WHERE note IS NULL AND player_id = $1"))[0]


@pytest.mark.parametrize(
    ("where", "columns"),
    [
        ("player_id = $1 OR id = $2", None),
        ("note IS NOT NULL OR player_id = $1", None),
        ("(player_id = $1 OR player_id = $2) AND ts > $3", ["player_id", "ts DESC"]),
        ("player_id = $1 AND (id = $2 OR note IS NOT NULL)", ["player_id"]),
        ("(player_id = $1 AND ts > $2) OR (player_id = $3 AND ts > $4)", ["player_id", "ts DESC"]),
    ],
)
def test_what_or_joins_is_no_condition_on_each(where: str, columns: list[str] | None) -> None:
    found = worthwhile(use(f"SELECT * FROM t WHERE {where}"))
    assert [each["columns"] for each in found] == ([] if columns is None else [columns])
    assert all("where" not in each for each in found)


def test_a_covering_one_has_what_else_the_conditions_need() -> None:
    found = worthwhile(use("SELECT value FROM t WHERE player_id = $1 AND stat_type <> 'void'"))
    assert found[0]["include"] == ["value", "stat_type"]
    assert worthwhile(use("SELECT value FROM t WHERE player_id = $1 AND extract(hour FROM ts) = 8"))[0].get("include") is None


@settings(deadline=None)
@given(st.lists(st.sampled_from([2.0, 5.0, 50.0, 900.0]), min_size=1, max_size=6), st.booleans(), st.randoms(use_true_random=False))
def test_the_advised_index_is_enough(distinct: list[float], by_time: bool, random: Random) -> None:
    """However many columns are compared: once the index is there, none is advised; nor where it has more of them before the time."""
    names = [f"c{n}" for n in range(len(distinct))]
    columns = (column("id"), column("ts", "timestamp with time zone"), *(column(name) for name in names))
    where = " AND ".join([*(f"{name} = $1" for name in names), *(["ts > $2"] if by_time else [])])
    bare = distribution(
        inspection(*columns, keys=(PRIMARY,)),
        columns=tuple(values(name, n) for name, n in zip(names, distinct, strict=True)),
        statements=(use(f"SELECT * FROM t WHERE {where}"),),
    )
    found = said(advice_on(bare), "worthwhile-index")
    if math.prod(distinct) < 10:
        assert found == []
        return
    keys = numbers(found[0])["columns"]
    equal = [name for name in keys if name != "ts"]
    assert len(equal) == min(len(names), 3)
    assert keys == [*equal, *(["ts"] if by_time else [])]
    further = [name for name in names if name not in equal]
    for more in ([], further[: random.randint(0, len(further))]):
        lead = [*equal, *more]
        random.shuffle(lead)
        for rest in ([*lead, "ts"], *([] if by_time else [lead])):
            there = replace(bare, inspection=inspection(*columns, keys=(PRIMARY,), indexes=(index("a", *rest),)))
            assert said(advice_on(there), "worthwhile-index") == []
    if by_time:
        late = replace(bare, inspection=inspection(*columns, keys=(PRIMARY,), indexes=(index("a", *equal, "id", "ts"),)))
        assert numbers(one(advice_on(late), "worthwhile-index"))["columns"] == keys


def test_a_name_fits_and_is_new() -> None:
    taken = index("t_player_id_ts_idx", "value")
    assert worthwhile(BY_PLAYER, indexes=(taken,))[0]["name"] == "t_player_id_ts_idx2"


# Continuous aggregates


def aggregates(*statements: Any, **changes: Any) -> list[dict[str, Any]]:
    advice = advice_on(on_community(distribution(statements=statements, **changes)))
    return list(file_of(advice).get("continuous_aggregate", []))


def test_a_repeated_grouping_by_time_is_worth_one() -> None:
    """1,000,000 rows in 365 days of 5 types each: 548 times fewer."""
    daily = use("SELECT date_trunc('day', ts) AS d, stat_type, sum(value), count(*) FROM t WHERE ts > $1 GROUP BY 1, 2", calls=40)
    (found,) = aggregates(daily, arrival=lag(p999=2 * DAY))
    assert found["name"] == "public.t_stat_type_1_day"
    assert found["query"] == (
        "SELECT time_bucket('1 day', ts) AS bucket, stat_type, sum(value) AS sum_value, count(*) AS count "
        "FROM public.t GROUP BY 1, 2"
    )
    assert found["refresh"] == {"start_offset": "4 days", "end_offset": "1 day", "schedule": "1 day"}
    advice = advice_on(on_community(distribution(statements=(daily,))))
    assert numbers(one(advice, "continuous-aggregate"))["times_fewer"] == pytest.approx(1_000_000 / (365 * 5), abs=0.1)


def test_what_is_filtered_is_grouped_by_too() -> None:
    one_type = use("SELECT time_bucket('1 hour', ts) AS h, avg(value) FROM t WHERE stat_type = $1 GROUP BY h", calls=40)
    (found,) = aggregates(one_type)
    assert "stat_type" in found["query"]


@pytest.mark.parametrize(
    "where",
    [
        "stat_type <> 'void'",
        "stat_type != $1",
        "stat_type NOT IN ($1, $2)",
        "stat_type LIKE 'v%'",
        "t.stat_type ~ '^v'",
        "stat_type IS DISTINCT FROM $1",
        "lower(stat_type) = $1",
        "ts > $1 OR stat_type = $2",
        "NOT (stat_type = $1)",
    ],
)
def test_what_a_condition_needs_is_grouped_by_whatever_the_condition_is(where: str) -> None:
    """Else rows that the query leaves out are in the sums, and it could not be asked of the aggregate."""
    hourly = use(f"SELECT time_bucket('1 hour', ts), sum(value) FROM t WHERE {where} GROUP BY 1")
    advice = advice_on(on_community(distribution(statements=(hourly,))))
    found = one(advice, "continuous-aggregate")
    (made,) = file_of(advice)["continuous_aggregate"]
    assert made["query"] == (
        "SELECT time_bucket('1 hour', ts) AS bucket, stat_type, sum(value) AS sum_value FROM public.t GROUP BY 1, 2"
    )
    assert any(line.startswith("grouped by stat_type too") for line in found.reason)


def test_what_a_group_is_made_of_is_grouped_by_too() -> None:
    (found,) = aggregates(use("SELECT time_bucket('1 hour', ts), upper(stat_type), sum(value) FROM t GROUP BY 1, 2"))
    assert found["query"].startswith("SELECT time_bucket('1 hour', ts) AS bucket, stat_type, sum(value)")


def test_a_condition_on_the_time_that_is_no_bound_is_said() -> None:
    """Whole buckets do not answer it."""
    odd = use("SELECT time_bucket('1 day', ts), sum(value) FROM t WHERE CASE WHEN note IS NULL THEN ts > $1 END GROUP BY 1")
    found = one(advice_on(on_community(distribution(statements=(odd,)))), "continuous-aggregate")
    assert found.toml == ""
    assert found.reason[-1].startswith("a condition on ts, or a group by it, is not understood")


def test_one_that_is_not_understood_does_not_stand_in_the_way_of_others() -> None:
    plain, odd = (use(f"SELECT time_bucket('1 day', ts), sum(value) FROM t {where} GROUP BY 1") for where in ("", "WHERE ts::time > $1"))
    advice = advice_on(on_community(distribution(statements=(odd, plain))))
    assert len(file_of(advice)["continuous_aggregate"]) == 1
    assert len(said(advice, "continuous-aggregate")) == 2


@pytest.mark.parametrize(
    ("bucket", "written"),
    [
        ("time_bucket('1 day', ts, 'Europe/Berlin')", "time_bucket('1 day', ts, 'Europe/Berlin')"),
        ("date_trunc('day'::text, t.ts, 'Europe/Berlin'::text)", "time_bucket('1 day', ts, 'Europe/Berlin'::text)"),
        ("time_bucket('1 day', ts, interval '6 hours')", "time_bucket('1 day', ts, interval '6 hours')"),
        ("time_bucket('7 days', ts, origin => '2024-01-06')", "time_bucket('7 days', ts, origin => '2024-01-06')"),
        ("date_bin('7 days', ts, timestamptz '2024-01-06')", "time_bucket('7 days', ts, origin => timestamptz '2024-01-06')"),
        ("date_trunc('day', ts)", "time_bucket('1 day', ts)"),
    ],
)
def test_where_buckets_begin_is_kept(bucket: str, written: str) -> None:
    (found,) = aggregates(use(f"SELECT {bucket} AS b, sum(value) FROM t GROUP BY b"))
    assert found["query"] == f"SELECT {written} AS bucket, sum(value) AS sum_value FROM public.t GROUP BY 1"
    advice = advice_on(on_community(distribution(statements=(use(f"SELECT {bucket}, sum(value) FROM t GROUP BY 1"),))))
    reason = " ".join(one(advice, "continuous-aggregate").reason)
    assert ("the session's midnight" in reason) == (bucket == "date_trunc('day', ts)")
    assert "2.15" not in reason


def test_buckets_that_begin_elsewhere_are_another_aggregate() -> None:
    zones = [use(f"SELECT time_bucket('1 day', ts{zone}), sum(value) FROM t GROUP BY 1") for zone in ("", ", 'Asia/Tokyo'", ", 'UTC'")]
    found = aggregates(*zones)
    assert len({each["query"] for each in found}) == len({each["name"] for each in found}) == 3


@pytest.mark.parametrize(("more", "said_so"), [("'Asia/Tokyo'", False), ("interval '6 hours'", True), ("'Asia/Tokyo', '2024-01-06'", True)])
def test_an_older_version_takes_a_zone_alone(more: str, said_so: bool) -> None:
    made = on_community(distribution(statements=(use(f"SELECT time_bucket('1 day', ts, {more}), sum(value) FROM t GROUP BY 1"),)))
    server = replace(made.inspection.server, timescaledb_installed="2.14.2")
    made = replace(made, inspection=replace(made.inspection, server=server))
    assert any("before TimescaleDB 2.15" in line for line in one(advice_on(made), "continuous-aggregate").reason) == said_so


def test_a_column_of_which_nothing_is_known_is_not_grouped_by() -> None:
    statement = use("SELECT time_bucket('1 hour', ts), sum(value) FROM t WHERE note LIKE $1 GROUP BY 1")
    advice = advice_on(on_community(distribution(statements=(statement,), columns=(values("player_id", 50),))))
    assert "how many values there are of note is not known" in one(advice, "continuous-aggregate").reason[-1]


def test_it_is_not_worth_it_where_hardly_fewer_rows_come_out() -> None:
    each = use("SELECT time_bucket('1 hour', ts) AS h, player_id, sum(value) FROM t GROUP BY 1, 2", calls=40)
    assert aggregates(each) == []


@pytest.mark.parametrize(
    "statement",
    [
        use("SELECT time_bucket('1 day', ts), sum(value) FROM t GROUP BY 1", calls=3),
        use("SELECT time_bucket('1 day', ts), sum(value * $1) FROM t GROUP BY 1"),
        use("SELECT time_bucket('1 day', ts), count(DISTINCT player_id) FROM t GROUP BY 1"),
        use("SELECT time_bucket('1 day', ts), sum(value) FROM t JOIN p USING (player_id) GROUP BY 1"),
        use("SELECT date_trunc('decade', ts), sum(value) FROM t GROUP BY 1"),
        use("SELECT time_bucket($1, ts, $2), sum(value) FROM t GROUP BY 1"),
        use("SELECT date_bin($1, ts, $2), sum(value) FROM t GROUP BY 1"),
        use("SELECT time_bucket('1 day', ts AT TIME ZONE 'Europe/Berlin'), sum(value) FROM t GROUP BY 1"),
        use("SELECT time_bucket('1 day', ts - interval '6 hours'), sum(value) FROM t GROUP BY 1"),
        use("SELECT time_bucket('1 day', ts), extract(hour FROM ts), sum(value) FROM t GROUP BY 1, 2"),
        use("SELECT time_bucket('1 day', ts), sum(value) FROM t WHERE extract(dow FROM ts) = 1 GROUP BY 1"),
    ],
)
def test_none_for_what_cannot_be_kept_ready(statement: Any) -> None:
    assert aggregates(statement) == []


def test_a_width_that_is_not_shown_is_said() -> None:
    advice = advice_on(on_community(distribution(statements=(use("SELECT time_bucket($1, ts), sum(value) FROM t GROUP BY 1"),))))
    assert any("1 day is put for it" in line for line in one(advice, "continuous-aggregate").reason)


# Warnings


def warnings(d: Distribution, given: str | None = None) -> dict[str, str]:
    return {each.rule: each.message for each in advice_on(d, given).cautions}


def milliseconds(**changes: Any) -> Distribution:
    """A year of even milliseconds."""
    even = spread()
    scaled = replace(
        even, width=even.width * 1000, low=even.low * 1000, high=even.high * 1000, first=even.first * 1000, last=even.last * 1000
    )
    made = distribution(
        axis=Axis(integer=True, per_second=1000.0, unit="milliseconds"), spread=scaled, now=NOW * 1000, **changes
    )
    columns = tuple(replace(column("ts"), number=2) if each.name == "ts" else each for each in made.inspection.columns)
    return replace(made, inspection=replace(made.inspection, columns=columns))


def test_an_interval_in_microseconds_for_milliseconds() -> None:
    """604,800,000,000 is 7 days in microseconds, and 19 years in milliseconds."""
    found = warnings(milliseconds(), given="604800000000")
    assert "7 days in microseconds, and would be 19 years" in found["units"]
    assert "units" not in warnings(milliseconds(), given="604800000")
    assert "units" not in warnings(milliseconds(), given="7 days")


def test_the_same_on_a_hypertable() -> None:
    made = milliseconds(interval=604_800_000_000.0, integer_now=True)
    made = replace(made, inspection=replace(made.inspection, table=replace(made.inspection.table, kind="hypertable")))
    assert "the hypertable's chunk interval" in warnings(made)["units"]
    # And the advice is the right one.
    assert numbers(one(advice_on(made), "chunk-interval"))["width"] == 7 * 86_400_000


@pytest.mark.parametrize(
    ("given", "rule"),
    [("10 minutes", "chunk-count"), ("3650 days", "chunk-count"), ("86400", "units"), ("1 month", "units"), ("7 days", None)],
)  # fmt: skip
def test_an_interval_that_makes_no_sense(given: str, rule: str | None) -> None:
    assert set(warnings(distribution(), given)) == (set() if rule is None else {rule})


def test_rows_far_off_and_in_the_future() -> None:
    far = replace(spread(), far_places=(NOW * 10,), far_rows=3.0, last=NOW * 10)
    assert "3 rows lie far from the rest" in warnings(distribution(spread=far))["outliers"]
    ahead = replace(spread(), last=NOW + 90 * DAY)
    assert "90 days in the future" in warnings(distribution(spread=ahead))["future-rows"]
    assert warnings(distribution()) == {}


def test_rows_without_a_time() -> None:
    assert "about 12 rows" in warnings(distribution(nulls=12.0))["no-time"]


# The file


def test_odd_names_are_quoted_as_in_sql() -> None:
    made = table()
    columns = tuple(replace(each, name='Ts "x"' if each.name == "ts" else each.name) for each in made.columns)
    made = replace(made, columns=columns, time_column='Ts "x"')
    advice = advice_on(on_community(distribution(made)))
    assert file_of(advice)["time_column"] == 'Ts "x"'
    assert file_of(advice)["compression"]["order_by"][0] == '"Ts ""x""" DESC'


def test_everything_at_once_is_one_valid_file() -> None:
    made = distribution(
        statements=(
            BY_PLAYER, BY_TYPE, use("SELECT time_bucket('1 day', ts), sum(value) FROM t GROUP BY 1"), use("DELETE FROM t WHERE ts < $1"),
            use("SELECT time_bucket('7 days', ts), stat_type, max(value) FROM t GROUP BY 1, 2"),
        ),
        touched=lag(p999=2 * DAY),
    )  # fmt: skip
    found = file_of(advice_on(on_community(made)))
    assert set(found) == {
        "table", "time_column", "chunk_interval", "updates_within", "compression", "retention", "index", "continuous_aggregate",
    }  # fmt: skip
    assert set(found["compression"]) == {"segment_by", "order_by", "after"}
    assert len({each["name"] for each in found["continuous_aggregate"]}) == 2
