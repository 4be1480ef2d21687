"""What is decided without a database: texts, freshness, differences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperferry.sqlalchemy.compare import arrived, comparable, difference, tellable
from hyperferry.sqlalchemy.other import Asked, Seen, fresh_as_of, other_of
from hyperferry.sqlalchemy.text import Known, Place, sides_of

PREFIXES = {"hf_0": "", "hf_1": '"my.schema".'}
OURS = frozenset({Place("hf_0", "stats"), Place("hf_1", '"Weird ""Näme"')})
WHERE = {Place("hf_0", "stats"): "hyperferry_new_1.stats"}


@pytest.mark.parametrize(
    ("sent", "record", "other"),
    [
        ("SELECT hf_0.stats.id FROM hf_0.stats", "SELECT stats.id FROM stats", "SELECT hyperferry_new_1.stats.id FROM hyperferry_new_1.stats"),
        ("FROM hf_0.stats AS s, hf_0.stats_2", "FROM stats AS s, stats_2", "FROM hyperferry_new_1.stats AS s, stats_2"),
        ('FROM hf_1."stats", hf_1.stats', 'FROM "my.schema"."stats", "my.schema".stats', None),
        ('FROM hf_1."Weird ""Näme"', 'FROM "my.schema"."Weird ""Näme"', 'FROM "my.schema"."Weird ""Näme"'),
        ("SELECT 'hf_0' FROM x", "SELECT 'hf_0' FROM x", None),
        ("CAST(x AS hf_0.mood) FROM hf_0.stats", "CAST(x AS mood) FROM stats", "CAST(x AS mood) FROM hyperferry_new_1.stats"),
    ],
)  # fmt: skip
def test_the_text_for_either_side(sent: str, record: str, other: str | None) -> None:
    sides = sides_of(sent, PREFIXES, OURS)
    assert sides.record == record
    assert bool(sides.reads) is (other is not None)
    assert sides.other(WHERE) == (other or record)


@pytest.mark.parametrize(
    "sent",
    [
        "SELECT 1 FROM hf_0.stats FOR UPDATE", "SELECT 1 FROM hf_0.stats FOR NO KEY UPDATE OF s", "SELECT 1 FROM hf_0.stats for key share",
        "WITH a AS (INSERT INTO hf_0.stats VALUES (1)) SELECT 1 FROM hf_0.stats", "WITH a AS (DELETE FROM hf_0.stats) SELECT 1",
        "WITH a AS (UPDATE hf_0.stats SET x = 1) SELECT 1 FROM hf_0.stats", "MERGE INTO hf_0.stats", "SELECT 1 INTO x FROM hf_0.stats",
        "with a as (update\n hf_0.stats set x = 1) select 1",
    ],
)  # fmt: skip
def test_what_writes_or_locks_is_for_the_table_of_record(sent: str) -> None:
    assert not sides_of(sent, PREFIXES, OURS).reads


@pytest.mark.parametrize(
    "column", ["updated_at", "s.update", '"update"', "last_update", "insert_id", "share"]
)
def test_columns_that_are_called_so_are_read(column: str) -> None:
    assert sides_of(f"SELECT {column} FROM hf_0.stats AS s", PREFIXES, OURS).reads


NAME = st.text("abcxyz_019", min_size=1, max_size=6).filter(lambda name: not name[0].isdigit())


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "hf_0.", "hf_1."]),
            NAME | st.just("stats"),
            st.sampled_from([" ", ", ", ".", "("]),
        )
    )
)
def test_no_mark_is_left_and_nothing_else_changes(parts: list[tuple[str, str, str]]) -> None:
    """Whatever the words around them: the text is what it would have been without marks."""
    sent = "SELECT " + "".join("".join(part) for part in parts)
    plain = "SELECT " + "".join(PREFIXES.get(mark[:-1], "") + name + end for mark, name, end in parts)
    if any(end == "." for _, _, end in parts):  # a mark behind a dot is a column's name, not a schema
        return
    sides = sides_of(sent, PREFIXES, OURS)
    assert sides.record == plain
    assert "hf_" not in sides.other(WHERE)


def test_few_texts_are_kept() -> None:
    known = Known(lambda text: sides_of(text, PREFIXES, OURS), most=3)
    for number in range(10):
        assert known(f"SELECT {number} FROM hf_0.stats").record == f"SELECT {number} FROM stats"
    assert len(known._known) <= 3


PHASES = ["planned", "prepared", "copying", "synced", "cut_over", "rolled_back"]


@given(st.sampled_from(PHASES), st.booleans(), st.booleans(), st.booleans())
def test_which_side_can_be_read(phase: str, quarantined: bool, allowed: bool, row_security: bool) -> None:
    other = other_of(Asked(7, phase, "stats", None, None, quarantined, allowed, row_security))
    if phase not in ("synced", "cut_over", "rolled_back") or quarantined or row_security or not allowed:
        assert other is None
    else:
        assert other is not None
        assert (other.schema, other.when) == (
            ("hyperferry_old_7", False) if phase == "cut_over" else ("hyperferry_new_7", True)
        )


@given(st.lists(st.sampled_from(["make", "apply", "look"]), max_size=60))
def test_what_is_called_fresh_has_every_change(acts: list[str]) -> None:
    """A change is a number, made at a time and applied in order; each look says how far back all is applied. Checked against what was so."""
    made: dict[int, int] = {}
    backlog: list[int] = []
    looks: list[Seen] = []
    for at, act in enumerate(acts):
        if act == "make":
            made[len(made) + 1] = at
            backlog.append(len(made))
        elif act == "apply" and backlog:
            backlog.pop(0)
        elif act == "look":
            look = Seen(at, len(made) or None)
            fresh = fresh_as_of(looks, look, min(backlog, default=None))
            missing = [made[change] for change in backlog]
            assert fresh is None or all(moment > fresh for moment in missing)
            assert fresh == at or backlog
            looks.append(look)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None]))), st.randoms())
def test_the_same_rows_in_any_order_are_no_difference(
    rows: list[tuple[int, str | None]], random: object
) -> None:
    other = list(rows)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert not difference(rows, other)
    found = difference([*rows, (9, "z")], other)
    assert (len(found.record), found.other) == (1, frozenset())
    assert bool(difference(rows, [*rows, rows[0]])) if rows else True


def test_the_last_digits_of_a_sum_are_no_difference() -> None:
    assert not difference([(0.1 + 0.2, b"x")], [(0.3, memoryview(b"x"))])
    assert difference([(0.3,)], [(0.30001,)])
    assert not difference([(1,)], [(2,)]).still(difference([(3,)], [(4,)]))


def test_what_is_comparable_and_what_has_arrived() -> None:
    assert [arrived(5, None), arrived(None, 3), arrived(5, 6), arrived(5, 5)] == [True, True, True, False]
    assert [comparable(text) for text in ("SELECT 1", "SELECT 1 LIMIT 2", "SELECT 1 ORDER BY 1 LIMIT 2")] == [
        True,
        False,
        True,
    ]


def test_objects_that_show_where_they_lie_cannot_be_compared() -> None:
    class Point:
        pass

    assert tellable([(1, None, "a text at 0x12", b"x", 1.5, [1], {"a": 1})])
    assert not tellable([(1,), (Point(),)])
