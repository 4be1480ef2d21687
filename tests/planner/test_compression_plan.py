"""Compression on the way, decided: what segments, what orders, from what age on; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_inspections import PRIMARY, column, index, inspection

from hyperferry.config import load_settings
from hyperferry.errors import Refused, Usage
from hyperferry.model.finding import Level
from hyperferry.model.inspection import Inspection
from hyperferry.model.options import PreflightOptions
from hyperferry.model.plan import CompressedOrder, PlannedCompression, Strategy
from hyperferry.model.plan_options import CompressionWish, PlanOptions
from hyperferry.planner import describe, dump_plan, load_plan, plan
from hyperferry.preflight import run

TS = column("ts", "timestamp with time zone")
TIME = CompressedOrder("ts", True, True)
DAY = 86_400_000_000


def table(*more: Any, time: Any = TS, **changes: Any) -> Inspection:
    """A table with a key, an index on the time and `more` columns."""
    changes.setdefault("indexes", (index("by_time", "ts"),))
    return inspection(column("id"), time, *more, keys=(PRIMARY,), **changes)


def decided(wish: CompressionWish, *more: Any, **changes: Any) -> PlannedCompression | None:
    return plan(table(*more, **changes), (), PlanOptions(compression=wish)).compression


def test_nothing_is_compressed_unless_it_is_wished_for() -> None:
    made = plan(table(), ())
    assert made.compression is None
    assert not [line for line in describe(made) if "ompress" in line]


def test_without_a_word_the_time_and_the_key_order_the_rows() -> None:
    """Both lists are said to the server, which would choose others."""
    assert decided(CompressionWish()) == PlannedCompression((), (TIME, CompressedOrder("id", False, False)), 0)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("ts DESC", TIME),
        ("ts", CompressedOrder("ts", False, False)),
        ("ts asc nulls first", CompressedOrder("ts", False, True)),
        ('"ts" DESC NULLS LAST', CompressedOrder("ts", True, False)),
    ],
)
def test_an_order_is_read_as_order_by_has_it(text: str, order: CompressedOrder) -> None:
    made = decided(CompressionWish(order_by=(text,)))
    assert made is not None
    assert made.order_by == (order,)


def test_names_with_spaces_and_quotes_are_found() -> None:
    made = decided(CompressionWish(segment_by=('a "b" c',), order_by=('"x ""DESC""" DESC', "y z")), column('a "b" c'), column('x "DESC"'), column("y z"))
    assert made is not None
    assert made.segment_by == ('a "b" c',)
    assert [each.column for each in made.order_by] == ['x "DESC"', "y z", "ts"], "the time comes last where it is not named"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (CompressionWish(segment_by=("nobody",)), "no column 'nobody'"),
        (CompressionWish(order_by=("nobody DESC",)), "no column 'nobody'"),
        (CompressionWish(order_by=("ts SIDEWAYS DOWN",)), "not understood"),
        (CompressionWish(segment_by=("ts",)), "time column"),
        (CompressionWish(segment_by=("n",), order_by=("n",)), "twice"),
        (CompressionWish(order_by=("ts", "ts DESC")), "twice"),
        (CompressionWish(after="soon"), "not understood"),
        (CompressionWish(after="3 months"), "months"),
    ],
)
def test_a_wish_that_makes_no_sense_is_wrong_usage(wish: CompressionWish, words: str) -> None:
    with pytest.raises(Usage, match=words):
        decided(wish, column("n"))


@pytest.mark.parametrize("type_", ["numeric", "float8", "interval", "jsonb", "bpchar", "timetz"])
def test_what_is_equal_and_not_the_same_does_not_segment(type_: str) -> None:
    """A segment keeps one value: of 1.0 and 1.00, of 0 and -0, of '1 month' and '30 days' one would be left."""
    with pytest.raises(Refused, match="without changing rows"):
        decided(CompressionWish(segment_by=("v",)), column("v", type_))


def test_a_text_that_is_blind_to_case_does_not_segment() -> None:
    with pytest.raises(Refused, match="without changing rows"):
        decided(CompressionWish(segment_by=("v",)), column("v", "text", deterministic=False))


def test_the_age_is_a_duration_or_a_number_of_the_columns_unit() -> None:
    made = decided(CompressionWish(after="30 days"))
    assert made is not None
    assert made.after == 30 * DAY
    assert plan(table(), (), PlanOptions(compression=CompressionWish(after=7 * DAY))).compression.after == 7 * DAY  # type: ignore[union-attr]
    counted = table(time=column("ts", "bigint"))
    options = PlanOptions(chunk_interval="100", compression=CompressionWish(after="250"))
    assert plan(counted, (), options).compression.after == 250  # type: ignore[union-attr]
    with pytest.raises(Usage, match="integer time"):
        plan(counted, (), replace(options, compression=CompressionWish(after="1 day")))


def test_a_table_that_is_not_copied_along_the_time_is_refused() -> None:
    with pytest.raises(Refused, match="No chunk"):
        decided(CompressionWish(), indexes=())


def test_in_place_has_nothing_on_the_way() -> None:
    options = PlanOptions(strategy=Strategy.IN_PLACE, compression=CompressionWish())
    with pytest.raises(Usage, match="in-place"):
        plan(table(), (), options)


def test_the_plan_says_it_and_a_plan_file_keeps_it() -> None:
    made = plan(table(column("n")), (), PlanOptions(compression=CompressionWish(segment_by=("n",), after="30 days")))
    assert load_plan(dump_plan(made)) == made
    text = "\n".join(describe(made))
    assert "Compressed on the way" in text
    assert "30 days" in text
    assert 'segmented by "n"' in text


def blockers(given: Inspection, *, compress: bool = True) -> list[str]:
    return [finding.message for finding in run(given, PreflightOptions(compress=compress)) if finding.rule == "compression" and finding.level is Level.BLOCKER]


def test_preflight_refuses_what_cannot_be_compressed() -> None:
    fit = table()
    fit = replace(fit, server=replace(fit.server, edition="community", timescaledb_installed="2.19.3"))
    assert blockers(fit) == []
    server, facts = fit.server, fit.table
    cases = {
        "Apache-2": replace(fit, server=replace(server, edition="apache")),
        "from TimescaleDB 2.19 on": replace(fit, server=replace(server, timescaledb_installed="2.18.2")),
        "row security": replace(fit, table=replace(facts, row_security=True)),
        "unlogged": replace(fit, table=replace(facts, persistence="u")),
        "_ts_meta_": replace(fit, columns=(*fit.columns, column("_ts_meta_count"))),
    }
    for words, given in cases.items():
        (message,) = blockers(given)
        assert words in message
        assert blockers(given, compress=False) == [], "it matters only where chunks are to be compressed"


FILE = """
table = "t"
[compression]
segment_by = ["n"]
order_by = ["ts DESC", '"x y"']
after = "30 days"
on_the_way = true
"""


def test_the_file_wishes_it_and_flags_win(tmp_path: Path) -> None:
    path = tmp_path / "hyperferry.toml"
    path.write_text(FILE)
    order = ('"ts" DESC NULLS FIRST', '"x y" ASC NULLS LAST')
    assert load_settings({}, config=path).compression == CompressionWish(("n",), order, 30 * DAY)
    flags = {"segment_by": ("m",), "compress_after": "1 day"}
    assert load_settings(flags, config=path).compression == CompressionWish(("m",), order, "1 day")
    assert load_settings({"table": "another"}, config=path).compression is None, "the file is about t"
    path.write_text(FILE.replace("true", "false"))
    assert load_settings({}, config=path).compression is None
    assert load_settings({"compress": True}, config=path).compression == CompressionWish(("n",), order, 30 * DAY)


def test_how_without_that_is_wrong_usage(tmp_path: Path) -> None:
    path = tmp_path / "hyperferry.toml"
    path.write_text('table = "t"')
    with pytest.raises(Usage, match="--segment-by"):
        _ = load_settings({"segment_by": ("n",)}, config=path).compression
    assert load_settings({}, config=path).compression is None
