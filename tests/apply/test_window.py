"""Packing what was read of the log into slices is pure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hyperferry.apply.window import Group, Ids, pack


def group(number: int, ids: list[int]) -> Group:
    """A group whose bounds tell which it is."""
    return Group((str(number), str(number)), Ids.of(ids))


@given(sizes=st.lists(st.integers(1, 40), max_size=12), rows=st.integers(1, 50))
def test_every_id_is_in_one_slice_under_its_own_bounds_and_in_order(sizes: list[int], rows: int) -> None:
    groups, start = [], 0
    for number, size in enumerate(sizes):
        groups.append(group(number, list(range(start, start + size))))
        start += size

    slices = pack(groups, rows)

    assert [each for part in slices for each in part.ids.texts] == [str(n) for n in range(start)]
    assert [(g.bounds, each) for part in slices for g in part.groups for each in g.ids.texts] == [
        (g.bounds, each) for g in groups for each in g.ids.texts
    ]
    assert all(part.ids.size == rows for part in slices[:-1])
    assert all(0 < part.ids.size <= rows for part in slices)
    assert all(g.ids.size == len(g.ids.texts) > 0 for part in slices for g in part.groups)


@given(numbers=st.lists(st.integers(1, 10**15), min_size=2))
def test_halves_are_neither_empty_nor_lose_anything(numbers: list[int]) -> None:
    first, rest = Ids.of(numbers).halves()
    assert first.size
    assert rest.size
    assert first.texts + rest.texts == [str(n) for n in numbers]


def test_ids_are_written_as_the_server_writes_an_array() -> None:
    assert Ids.of([]) == Ids("{}", 0)
    assert Ids.of([]).texts == []
    assert Ids.of([1, 22, 333]) == Ids("{1,22,333}", 3)
    assert pack([], 5) == []
