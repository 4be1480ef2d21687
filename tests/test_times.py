"""Moments and durations as users write them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperferry.errors import Usage
from hyperferry.times import parse_moment, parse_wait

BERLIN = ZoneInfo("Europe/Berlin")
EVENING = datetime(2026, 3, 28, 20, 0, tzinfo=UTC)
"""21:00 in Berlin; in the night the clocks go from 02:00 to 03:00."""


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("22:30", "2026-03-28T21:30"),
        ("03:00", "2026-03-29T01:00"),
        ("20:59:59", "2026-03-29T18:59:59"),
        ("21:00", "2026-03-29T19:00"),
        ("2026-03-29T03:00+02:00", "2026-03-29T01:00"),
        ("2026-03-29 03:00 Europe/Berlin", "2026-03-29T01:00"),
        ("2026-03-29T03:00Z", "2026-03-29T03:00"),
        ("2026-10-25T02:30+01:00", "2026-10-25T01:30"),
        ("2026-10-25 03:30 Europe/Berlin", "2026-10-25T02:30"),
    ],
)
def test_moments(text: str, utc: str) -> None:
    assert parse_moment(text, EVENING, zone=BERLIN).astimezone(UTC) == datetime.fromisoformat(utc + "+00:00")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("02:30", "does not come"),
        ("2026-03-29 02:30 Europe/Berlin", "does not come"),
        ("2026-10-25 02:30 Europe/Berlin", "comes twice"),
        ("2026-03-29T03:00", "no time zone"),
        ("2026-03-28T21:00+01:00", "in the past"),
        ("2025-03-28T21:00Z", "in the past"),
        ("24:00", "not a time of day"),
        ("2026-03-29 03:00 Nowhere/Land", "not known"),
        ("tomorrow", "not understood"),
        ("", "not understood"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, why: str) -> None:
    with pytest.raises(Usage, match=why):
        parse_moment(text, EVENING, zone=BERLIN)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.integers(0, 23),
    st.integers(0, 59),
)
def test_a_time_of_day_comes_within_a_day_and_shows_itself(now: datetime, hour: int, minute: int) -> None:
    try:
        moment = parse_moment(f"{hour}:{minute:02}", now, zone=BERLIN)
    except Usage:
        assert hour == 2
        return
    assert 0 < moment.timestamp() - now.timestamp() <= 25 * 3600
    shown = moment.astimezone(BERLIN)
    assert (shown.hour, shown.minute) == (hour, minute)


def test_durations() -> None:
    assert parse_wait("1 h 30 min", "--max-wait") == 5400
    for text in ("", "3", "0 s", "soon", "-5 s", "1 month"):
        with pytest.raises(Usage, match="--max-wait"):
            parse_wait(text, "--max-wait")
