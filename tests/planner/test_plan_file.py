"""A plan is kept exactly, and what is not exactly a plan is refused; a plan of another schema is stale, in
words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from made_inspections import PRIMARY, column, index, inspection, scan

from hyperferry.errors import Refused
from hyperferry.model.finding import Finding, Level
from hyperferry.model.inspection import Grant
from hyperferry.planner import dump_plan, is_stale, load_plan, plan

MADE = plan(
    inspection(
        column("id"),
        column("ts", "timestamp with time zone"),
        column('é"()', "text", default="'{}%'::text"),
        keys=(PRIMARY,),
        indexes=(index("by_time", "ts"),),
        scan=scan("2024-01-01 00:00:00+00", "2024-12-30 00:00:00+00", seconds=0.1 + 0.2),
    ),
    (Finding("r", Level.WARNING, "m", "do", accept="widened-key"),),
)


def test_a_plan_comes_back_as_it_was() -> None:
    text = dump_plan(MADE)
    assert load_plan(text) == MADE
    assert dump_plan(load_plan(text)) == text
    assert text.endswith("\n")
    assert sum(line.strip().startswith('"checksum"') for line in text.splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "null",
        "{}",
        '{"kind": "something else"}',
        '{"kind": "hyperferry plan"}',
        "\x00",
        "1e999",
    ],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        load_plan(text)
    assert refused.value.exit_code == 3
    assert "make the plan again" in (refused.value.remedy or "")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(part: float) -> None:
    text = dump_plan(MADE)
    with pytest.raises(Refused, match="cut off"):
        load_plan(text[: int(len(text) * part)])


def test_a_file_edited_by_hand_is_refused() -> None:
    text = dump_plan(MADE)
    with pytest.raises(Refused, match="checksum"):
        load_plan(text.replace('"batch_rows": 50000', '"batch_rows": 50001'))
    # Layout is not content.
    assert load_plan(json.dumps(json.loads(text))) == MADE


def test_another_format_is_refused_by_number() -> None:
    document = json.loads(dump_plan(MADE))
    document["format"] = 99
    with pytest.raises(Refused, match="another version") as refused:
        load_plan(json.dumps(document))
    assert refused.value.facts["format of the file"] == 99


def test_a_plan_is_fresh_while_the_fingerprint_is_the_same() -> None:
    later = replace(MADE.inspection, table=replace(MADE.inspection.table, total_bytes=1))
    assert is_stale(MADE, later) == ()


def test_a_stale_plan_says_what_changed() -> None:
    now = MADE.inspection
    id_column, *others = now.columns
    now = replace(
        now,
        fingerprint="0" * 64,
        columns=(replace(id_column, type_sql="integer"), *others, column("new")),
        indexes=tuple(replace(i, bytes=1, oid=2) for i in now.indexes if i.name != "by_time"),
        table=replace(now.table, grants=(Grant("bob", "SELECT", False),)),
    )
    lines = is_stale(MADE, now)
    assert "column id changed: type sql was 'bigint', is 'integer'" in lines
    assert "column new is new" in lines
    assert "index by_time is gone" in lines
    assert "grant SELECT to bob is new" in lines
    assert len(lines) == 4


def test_a_table_of_another_oid_is_another_table() -> None:
    """The same in every word: of another database, or made anew."""
    (line,) = is_stale(MADE, replace(MADE.inspection, table=replace(MADE.inspection.table, oid=MADE.inspection.table.oid + 1)))
    assert "another database" in line


def test_a_difference_that_is_not_listed_is_still_a_difference() -> None:
    (line,) = is_stale(MADE, replace(MADE.inspection, fingerprint="0" * 64))
    assert "fingerprint" in line
