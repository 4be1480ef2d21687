"""What continuous aggregates lose by dropped chunks, decided purely: against each moment of the chunks looked at by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperferry.model.health import Aggregate, Chunk, Reach, Relation
from hyperferry.model.names import TableName
from hyperferry.upkeep.aggregate_facts import LEAST, MOST, Span
from hyperferry.upkeep.losses import KEPT, UNSEEN, losses, remedy_of

DAILY = Aggregate(TableName("public", "daily"), "public.sensors", number=7, source_number=1)


def chunk(start: int, end: int, *, filled: bool = True) -> Chunk:
    """A chunk of an integer time, with rows, or measured and found empty."""
    name = TableName("_timescaledb_internal", f"_hyper_1_{start}_chunk")
    own = Relation(start, name, live=1, heap_bytes=8192) if filled else Relation(start, name, measured=True)
    return Chunk(own, start, end, str(start), str(end))


def rules(chunks: list[Chunk], aggregate: Aggregate = DAILY, waits: list[Span] | None = None) -> list[str]:
    """The rules by which the aggregate loses something."""
    return [each.rule for each in losses(chunks, [aggregate], {7: waits or []})]


def reaching(*starts: int | None) -> Aggregate:
    """The aggregate with policies that refresh it from these places on."""
    reaches = tuple(
        Reach(1000 + n, None if start is None else "an age", start) for n, start in enumerate(starts)
    )
    return Aggregate(DAILY.name, DAILY.source, number=7, source_number=1, reaches=reaches)


def test_nothing_is_lost_where_the_policies_begin_behind_the_chunks_and_nothing_waits() -> None:
    assert rules([chunk(0, 10), chunk(10, 20)], reaching(20), [Span(20, MOST)]) == []
    assert rules([chunk(0, 10)]) == []
    assert rules([], reaching(None), [Span(LEAST, MOST)]) == []


@pytest.mark.parametrize("starts", [(None,), (19,), (0,), (500, None), (500, 3)])
def test_a_policy_that_reaches_a_chunk_deletes_its_buckets(starts: tuple[int | None, ...]) -> None:
    assert rules([chunk(0, 10), chunk(10, 20)], reaching(*starts)) == [KEPT]


@pytest.mark.parametrize("span", [Span(LEAST, MOST), Span(LEAST, 0), Span(19, 19), Span(5, 12)])
def test_what_waits_in_a_chunk_is_never_seen(span: Span) -> None:
    assert rules([chunk(0, 10), chunk(10, 20)], waits=[span]) == [UNSEEN]


def test_empty_chunks_lose_nothing() -> None:
    assert rules([chunk(0, 10, filled=False)], reaching(None), [Span(LEAST, MOST)]) == []
    assert rules([chunk(0, 10), chunk(10, 20, filled=False)], reaching(10), [Span(10, MOST)]) == []


def test_both_are_told_with_what_to_do_and_what_accepts_them() -> None:
    found = list(losses([chunk(0, 10)], [reaching(None)], {7: [Span(0, 3)]}))
    assert [each.rule for each in found] == [KEPT, UNSEEN]
    assert "job 1000 refreshes it from the first row on" in found[0].message
    assert "_hyper_1_0_chunk" in found[1].message
    text = remedy_of(found)
    assert "WHERE job_id = 1000" in text
    assert "CALL refresh_continuous_aggregate('\"public\".\"daily\"', '0', '10')" in text
    assert text.endswith("--accept aggregate-rows --accept waiting-rows")


def test_where_a_policy_begins_is_not_known() -> None:
    [found] = losses(
        [chunk(0, 10)], [Aggregate(DAILY.name, "", number=7, reaches=(Reach(1000, "30 moons"),))], {}
    )
    assert found.rule == KEPT
    assert "is not known" in found.message


PLACES = st.integers(-20, 60)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=5),
    st.lists(st.none() | PLACES, max_size=3),
    st.lists(st.tuples(PLACES, PLACES), max_size=3),
)
def test_each_moment_by_itself(
    gaps: list[tuple[int, bool]], starts: list[int | None], spans: list[tuple[int, int]]
) -> None:
    chunks, at = [], 0
    for gap, filled in gaps:
        at += gap
        chunks.append(chunk(at, at + 10, filled=filled))
        at += 10
    waits = [Span(min(pair), max(pair)) for pair in spans]
    moments = [moment for each in chunks if not each.empty for moment in range(each.start, each.end)]
    expected = []
    if any(start is None or moment >= start for moment in moments for start in starts):
        expected.append(KEPT)
    if any(span.first <= moment <= span.last for moment in moments for span in waits):
        expected.append(UNSEEN)
    assert rules(chunks, reaching(*starts), waits) == expected
