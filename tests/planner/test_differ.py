"""Two plans of one table: what they decide otherwise, not what was measured for them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from test_plan_file import MADE

from hyperferry.model.plan import BatchBy, CompressedOrder, Plan, PlannedCompression, Strategy
from hyperferry.planner import decided_otherwise
from hyperferry.planner.differ import _MEASURED

COMPRESSION = PlannedCompression(("id",), (CompressedOrder("ts", True, True),), 7)

OTHERWISE: dict[str, tuple[Any, str]] = {
    "time_column": ("when", "under way ts, in this plan when"),
    "strategy": (Strategy.IN_PLACE, "under way blue-green, in this plan in-place"),
    "interval": (replace(MADE.interval, literal="INTERVAL '3 days'", width=1), "INTERVAL '3 days'"),
    "identity": (replace(MADE.identity, columns=(), index=None), "in this plan "),
    "keys": ((), "in this plan none"),
    "indexes": ((*MADE.indexes, replace(MADE.indexes[0], name="other")), "under way none, in this plan name other"),
    "batch_rows": (7, "under way 50000, in this plan 7"),
    "workers": (MADE.workers + 1, f"in this plan {MADE.workers + 1}"),
    "drop_inbound_fks": (("a.b", "c"), "under way none, in this plan a.b, c"),
    "drop_from_publications": (("feed",), "under way none, in this plan feed"),
    "compression": (COMPRESSION, "in this plan segment by id order by column ts"),
}


def test_every_decision_is_compared() -> None:
    assert set(OTHERWISE) | _MEASURED == {field.name for field in fields(Plan)}


@pytest.mark.parametrize("name", OTHERWISE)
def test_a_decision_that_is_another(name: str) -> None:
    value, words = OTHERWISE[name]
    found = decided_otherwise(MADE, replace(MADE, **{name: value}))
    assert list(found) == [name.replace("_", " ")]
    assert words in found[name.replace("_", " ")]


def test_what_was_measured_is_no_decision() -> None:
    table = replace(MADE.inspection.table, total_bytes=1, estimated_rows=7)
    other = replace(
        MADE,
        inspection=replace(MADE.inspection, table=table, scan=None),
        findings=(),
        batch_by=BatchBy.WHOLE,
        accepts_needed=(),
        notes=("more",),
        hyperferry_version="0",
        interval=replace(MADE.interval, reason=("another sum",)),
    )
    assert decided_otherwise(MADE, other) == {}
    first, second = (replace(MADE, drop_inbound_fks=names) for names in (("a", "b"), ("b", "a")))
    assert decided_otherwise(first, second) == {}
