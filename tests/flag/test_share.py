"""What the flag may say, and whom a share takes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperferry.flag import described, parse, part_of


@pytest.mark.parametrize(
    ("text", "share"),
    [("on", 100), ("TRUE", 100), (" 1 ", 100), ("off", 0), ("", 0), ("no", 0), ("25%", 25), ("12.5 %", 12.5), ("0%", 0), ("100%", 100)],
)
def test_what_is_understood(text: str, share: float) -> None:
    assert parse(text) == share
    assert parse(described(share)) == share


@pytest.mark.parametrize("text", ["onn", "25", "-1%", "101%", "nan%", "inf%", "%", "on off"])
def test_what_is_not_understood_is_neither_on_nor_off(text: str) -> None:
    with pytest.raises(ValueError, match="none of: on, off"):
        parse(text)


@given(st.text() | st.integers() | st.uuids())
def test_a_key_stands_somewhere_and_always_there(key: object) -> None:
    assert 0 <= part_of(key) < 100
    assert part_of(key) == part_of(str(key))


def test_a_share_takes_in_about_so_many_keys_and_a_larger_one_the_same_and_more() -> None:
    keys = [f"user-{n}" for n in range(20_000)]
    tenth, quarter = ({key for key in keys if part_of(key) < share} for share in (10, 25))
    assert tenth < quarter
    assert 1_800 < len(tenth) < 2_200
    assert 4_700 < len(quarter) < 5_300
