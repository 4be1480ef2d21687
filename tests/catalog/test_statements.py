"""Which statements are seen as an upsert or as an update of the time: pure."""

from __future__ import annotations

import pytest

from hyperferry.catalog import CAPABILITIES, has, require
from hyperferry.catalog.statements import conflict_inserts, is_time_update
from hyperferry.errors import Refused
from hyperferry.model.names import TableName

T = TableName("s", "t")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE s.t SET ts = $1 WHERE id = $2", True),
        ("update only t\nset v = $1,\n  ts = now()", True),
        ('UPDATE "s"."t" AS x SET (v, ts) = ($1, $2)', True),
        ("INSERT INTO t VALUES ($1) ON CONFLICT (id) DO UPDATE SET ts = excluded.ts", True),
        ("UPDATE s.t SET v = $1 WHERE ts = $2", False),
        ("UPDATE s.other SET ts = $1", False),
        ("UPDATE s.t SET ts_end = $1", False),
        ("UPDATE other.t SET ts = $1", False),
    ],
)
def test_updates_of_the_time(statement: str, expected: bool) -> None:
    assert is_time_update(statement, T, "ts") is expected


def test_upserts_are_cut_at_what_they_do() -> None:
    text = (
        "BEGIN; INSERT INTO s.t (id) VALUES (1)\n ON CONFLICT (id)\n DO NOTHING; "
        "INSERT INTO t2 VALUES (1) ON CONFLICT DO NOTHING"
    )
    assert conflict_inserts(text, T) == ["INSERT INTO s.t (id) VALUES (1) ON CONFLICT (id) DO NOTHING"]


def test_a_capability_says_have_and_need() -> None:
    assert has("by_range", "2.19.3", "apache")
    assert not has("index_adoption", "2.19.3", "community")
    assert not has("policies", "2.31.0", "apache")
    assert not has("policies", None, None)
    with pytest.raises(Refused) as caught:
        require("columnstore", "2.19.3", "apache")
    assert "have: TimescaleDB 2.19.3, apache edition" in str(caught.value)
    assert "Community edition" in str(caught.value)
    assert all(capability.name == name for name, capability in CAPABILITIES.items())
