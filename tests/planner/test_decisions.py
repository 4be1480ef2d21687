"""What is decided for a table: identity, keys, indexes, batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from made_inspections import PRIMARY, column, index, inspection, key, scan

from hyperferry.errors import Refused, Usage
from hyperferry.model.finding import Finding, Level
from hyperferry.model.inspection import Inspection
from hyperferry.model.plan import BatchBy, Strategy
from hyperferry.model.plan_options import CompressionWish, PlanOptions, default_workers
from hyperferry.planner import describe, plan

TS = column("ts", "timestamp with time zone")
BY_TIME = index("by_time", "ts")


def test_the_primary_key_is_the_identity_and_is_widened() -> None:
    made = plan(inspection(keys=(PRIMARY,)), ())
    assert [c.name for c in made.identity.columns] == ["id"]
    assert made.identity.index == "t_pkey"
    assert made.identity.columns[0].equals == "OPERATOR(pg_catalog.=)"
    assert [(k.name, k.definition, k.widened, k.columns) for k in made.keys] == [
        ("t_pkey", 'PRIMARY KEY (id, "ts")', True, ("id", "ts"))
    ]
    assert made.strategy is Strategy.BLUE_GREEN
    assert made.fingerprint == "f" * 64


def test_a_primary_key_with_the_time_stays_as_it_is() -> None:
    made = plan(inspection(keys=(key("t_pkey", "PRIMARY KEY (id, ts)", "id", "ts"),)), ())
    assert [(k.definition, k.widened) for k in made.keys] == [("PRIMARY KEY (id, ts)", False)]


def test_the_cheapest_usable_unique_key_stands_in_for_a_primary_key() -> None:
    columns = (
        column("a", "text"),
        column("b", "bigint"),
        column("c", "integer"),
        column("n", not_null=False),
        TS,
    )
    keys = (
        key("wide", "UNIQUE (a, b)", "a", "b"),
        key("text_key", "UNIQUE (a)", "a"),
        key("nullable", "UNIQUE (n)", "n"),
        key("deferred", "UNIQUE (c) DEFERRABLE", "c", immediate=False),
    )
    indexes = (
        index("partial", "c", unique=True, predicate="(c > 0)"),
        index("expression", "(c + 1)", unique=True),
        index("invalid", "c", unique=True, valid=False),
        index("plain", "b", unique=True),
    )
    found = inspection(*columns, keys=keys, indexes=indexes)
    assert plan(found, ()).identity.index == "plain"
    without = replace(found, indexes=tuple(i for i in found.indexes if i.name != "plain"))
    assert plan(without, ()).identity.index == "text_key"


def test_a_deferrable_key_serves_where_there_is_no_other() -> None:
    found = inspection(keys=(key("u", "UNIQUE (id) DEFERRABLE", "id", immediate=False),))
    assert plan(found, ()).identity.index == "u"


def test_a_not_null_that_is_not_valid_does_not_count() -> None:
    not_valid = replace(
        PRIMARY[1], name="id_nn", kind="n", definition="NOT NULL id NOT VALID", validated=False
    )
    found = inspection(keys=(key("u", "UNIQUE (id)", "id"),), indexes=(BY_TIME,))
    assert not plan(found, ()).identity.by_image
    assert plan(replace(found, constraints=(*found.constraints, not_valid)), ()).identity.by_image


def test_a_table_without_a_key_needs_an_index_on_the_time() -> None:
    with pytest.raises(Refused, match="no key") as refused:
        plan(inspection(), ())
    assert "CREATE INDEX CONCURRENTLY" in (refused.value.remedy or "")
    made = plan(inspection(indexes=(BY_TIME,)), ())
    assert made.identity.by_image
    assert made.identity.index is None
    assert made.batch_by is BatchBy.TIME
    # In place nothing has to be found again.
    assert plan(inspection(), (), PlanOptions(strategy=Strategy.IN_PLACE)).identity.by_image


@pytest.mark.parametrize(
    ("indexes", "by"),
    [
        ((BY_TIME,), BatchBy.TIME),
        ((index("i", "ts", "id"),), BatchBy.TIME),
        ((index("i", "id", "ts"),), BatchBy.KEY),
        ((replace(BY_TIME, predicate="(id > 0)"),), BatchBy.KEY),
        ((replace(BY_TIME, valid=False),), BatchBy.KEY),
        ((replace(BY_TIME, method="brin"),), BatchBy.KEY),
    ],
)
def test_batches_follow_an_index(indexes: tuple[index, ...], by: BatchBy) -> None:  # type: ignore[valid-type]
    assert plan(inspection(keys=(PRIMARY,), indexes=indexes), ()).batch_by is by


SCATTERED = scan("2024-01-01", "2024-12-31", buckets=53, ranges_on_page=20.0, in_order=("id",))
LARGE = inspection(keys=(PRIMARY,), indexes=(BY_TIME,), scan=SCATTERED)
LARGE = replace(LARGE, table=replace(LARGE.table, heap_bytes=100 * SCATTERED.rows))


@pytest.mark.parametrize(
    ("found", "options", "by"),
    [
        ({}, PlanOptions(), BatchBy.KEY),
        ({"ranges_on_page": 9.9}, PlanOptions(), BatchBy.TIME),
        ({"ranges_on_page": None}, PlanOptions(), BatchBy.TIME),
        ({"in_order": ()}, PlanOptions(), BatchBy.TIME),
        ({"in_order": ("ts",)}, PlanOptions(), BatchBy.TIME),
        ({"buckets": 501}, PlanOptions(), BatchBy.TIME),
        ({"buckets": 500}, PlanOptions(), BatchBy.KEY),
        # Each holds three locks for a chunk, and the server has 6,400.
        ({"buckets": 260}, PlanOptions(workers=4), BatchBy.KEY),
        ({"buckets": 270}, PlanOptions(workers=4), BatchBy.TIME),
        ({}, PlanOptions(compression=CompressionWish()), BatchBy.TIME),
    ],
)
def test_rows_that_lie_scattered_by_their_time_are_read_by_the_key(found: dict[str, Any], options: PlanOptions, by: BatchBy) -> None:
    made = inspection(keys=(PRIMARY,), indexes=(BY_TIME,), scan=replace(SCATTERED, **found))
    # 100 bytes a row, ten times 1,000 for each.
    table = replace(made.table, heap_bytes=100 * SCATTERED.rows)
    made = replace(made, server=replace(made.server, edition="community"), table=table)
    assert plan(made, (), options).batch_by is by


@pytest.mark.parametrize(
    ("tail", "less", "by"),
    [
        ("USING btree (id)", "<", BatchBy.KEY),
        ("USING btree (id DESC)", "<", BatchBy.KEY),
        ("USING btree (id NULLS FIRST)", "<", BatchBy.WHOLE),
        ("USING btree (id DESC NULLS LAST)", "<", BatchBy.WHOLE),
        ('USING btree (id COLLATE "C")', "<", BatchBy.WHOLE),
        ("USING btree (id text_pattern_ops)", "~<~", BatchBy.WHOLE),
    ],
)
def test_a_key_whose_index_has_another_order_than_its_column_cuts_nothing(tail: str, less: str, by: BatchBy) -> None:
    """Each cut would sort the rest of the table, each batch read it whole."""
    own = index("own", "id", unique=True, tail=tail)
    own = replace(own, columns=(replace(own.columns[0], less=f"OPERATOR(pg_catalog.{less})"),))
    assert plan(inspection(indexes=(own, index("other", "v"))), ()).batch_by is by
    large = inspection(indexes=(own, BY_TIME), scan=SCATTERED)
    assert plan(replace(large, table=replace(large.table, heap_bytes=100 * SCATTERED.rows)), ()).batch_by is (by if by is BatchBy.KEY else BatchBy.TIME)


@pytest.mark.parametrize(("tail", "by"), [("a, b", BatchBy.KEY), ("a DESC, b DESC", BatchBy.KEY), ("a, b DESC", BatchBy.WHOLE)])
def test_a_key_of_two_directions_cuts_nothing(tail: str, by: BatchBy) -> None:
    own = index("own", "a", "b", unique=True, tail=f"USING btree ({tail})")
    columns = (column("a"), column("b"), TS)
    assert plan(inspection(*columns, indexes=(own,)), ()).batch_by is by


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            LARGE,
            "ranges of the key (the table is larger than effective_cache_size, and its rows do not lie in the order of their time: "
            "by its ranges each page would be read 20 times)",
        ),
        (inspection(keys=(PRIMARY,), indexes=(BY_TIME,)), 'ranges of "ts" (parts of a chunk, or small chunks together)'),
        (inspection(keys=(PRIMARY,)), "ranges of the key (no index starts with the time column)"),
    ],
)
def test_how_the_table_is_copied_is_said_with_its_reason(made: Inspection, said: str) -> None:
    [line] = [line for line in describe(plan(made, ())) if line.startswith("Copying")]
    assert said in line
    assert "about 50,000 rows a batch" in line


@pytest.mark.parametrize(("cores", "workers"), [(None, 2), (1, 2), (2, 2), (4, 2), (8, 4), (16, 8), (64, 8)])
def test_half_of_the_cores_work_at_least_two_and_at_most_eight(cores: int | None, workers: int) -> None:
    assert default_workers(cores) == workers
    made = inspection(keys=(PRIMARY,))
    made = replace(made, server=replace(made.server, cores=cores))
    assert plan(made, ()).workers == workers
    assert plan(made, (), PlanOptions(workers=3)).workers == 3


def test_a_key_of_a_type_from_elsewhere_is_not_cut_into_ranges() -> None:
    odd, constraint = PRIMARY
    odd = replace(odd, columns=(replace(odd.columns[0], less="OPERATOR(public.<)"),))
    assert plan(inspection(keys=((odd, constraint),)), ()).batch_by is BatchBy.WHOLE


def test_everything_about_a_key_stays_but_its_width() -> None:
    unique = key("u", "UNIQUE (a) INCLUDE (b) DEFERRABLE", "a", included=("b",), tablespace="fast")
    unique = (replace(unique[0], tail="USING btree (a) INCLUDE (b) WITH (fillfactor='70')"), unique[1])
    bare = index(
        "slug",
        "(lower(a))",
        unique=True,
        tail='USING btree (lower(a) COLLATE "C" DESC) INCLUDE (b) WHERE (b > 0)',
        predicate="(b > 0)",
    )
    found = inspection(column("a", "text"), column("b"), TS, keys=(unique,), indexes=(bare, BY_TIME))
    keys = {k.name: k for k in plan(found, ()).keys}
    assert keys["u"].definition == "UNIQUE (a, \"ts\") INCLUDE (b) WITH (fillfactor='70') DEFERRABLE"
    assert keys["u"].tablespace == "fast"
    assert (
        keys["slug"].definition == 'USING btree (lower(a) COLLATE "C" DESC, "ts") INCLUDE (b) WHERE (b > 0)'
    )
    assert not keys["slug"].constraint


def test_indexes_are_carried_over_except_invalid_ones() -> None:
    indexes = (
        BY_TIME,
        index("dead", "id", valid=False),
        index("gin", "id", method="gin", tail="USING gin (id)"),
    )
    made = plan(inspection(keys=(PRIMARY,), indexes=indexes), ())
    assert [(i.name, i.tail) for i in made.indexes] == [
        ("by_time", "USING btree (ts)"),
        ("gin", "USING gin (id)"),
    ]
    assert "dead" in made.notes[0]


@pytest.mark.parametrize(
    ("definition", "columns", "kept"),
    [
        ("EXCLUDE USING gist (id WITH =, ts WITH =)", ("id", "ts"), True),
        ("EXCLUDE USING gist (id WITH =, ts WITH &&)", ("id", "ts"), False),
        ("EXCLUDE USING gist (id WITH =)", ("id",), False),
    ],
)
def test_an_exclusion_is_kept_only_with_the_time(
    definition: str, columns: tuple[str, ...], kept: bool
) -> None:
    found = inspection(keys=(PRIMARY, key("x", definition, *columns)))
    if kept:
        assert plan(found, ()).keys[1].definition == definition
    else:
        with pytest.raises(Refused, match="exclusion"):
            plan(found, ())


def test_a_key_that_is_as_wide_as_can_be_is_refused() -> None:
    many = [f"c{n}" for n in range(32)]
    wide = key("w", f"UNIQUE ({', '.join(many)})", *many)
    with pytest.raises(Refused, match="wide"):
        plan(inspection(*(column(c) for c in many), TS, keys=(wide,)), ())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((column("id"),), 'no column "ts"'),
        ((column("id"), column("ts", "text")), "its type is text"),
        ((column("id"), replace(TS, type_oid=70000, type_sql="public.moment")), "public.moment"),
        ((column("id"), replace(TS, generated="s", default="now()")), "generated"),
    ],
)
def test_what_is_no_time_column_is_refused(columns: tuple[column, ...], message: str) -> None:  # type: ignore[valid-type]
    with pytest.raises(Refused, match=message) as refused:
        plan(inspection(*columns, keys=(PRIMARY,)), ())
    assert refused.value.remedy


def test_options_that_make_no_sense_are_wrong_usage() -> None:
    for options in (PlanOptions(batch_rows=0), PlanOptions(workers=0)):
        with pytest.raises(Usage):
            plan(inspection(keys=(PRIMARY,)), (), options)


def test_findings_of_another_strategy_are_left_out_and_accepts_are_named() -> None:
    findings = (
        Finding("a", Level.WARNING, "m", "r", accept="widened-key"),
        Finding("b", Level.WARNING, "m", "r", accept="on-conflict-key", strategies=("in-place",)),
        Finding("c", Level.NOTE, "m", "r", accept="widened-key"),
    )
    made = plan(inspection(keys=(PRIMARY,)), findings)
    assert [f.rule for f in made.findings] == ["a", "c"]
    assert made.accepts_needed == ("widened-key",)


def test_the_description_says_what_the_key_no_longer_enforces() -> None:
    text = "\n".join(
        describe(plan(inspection(keys=(PRIMARY,)), (Finding("x", Level.BLOCKER, "stop", "do it"),)))
    )
    assert "Blocker x: stop" in text
    assert 'constraint "t_pkey": PRIMARY KEY (id, "ts")' in text
    assert "one value of (id) may stand in several rows" in text
    assert "7 days" in text
    assert "ranges of the key" in text
