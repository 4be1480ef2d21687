"""Moments and durations as users write them on the command line. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .errors import Usage
from .planner.duration import parse_duration

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_SHAPES = (
    "'2026-03-01T03:00+01:00', '2026-03-01 03:00 Europe/Berlin', '2026-03-01T03:00Z', "
    "or HH:MM for the next time that this machine's clock shows it"
)


def parse_wait(text: str, option: str) -> float:
    """Seconds of '30 s', '5 min', '1 h 30 min'. Raises Usage naming the option."""
    try:
        return parse_duration(text) / 1_000_000
    except Usage:
        raise Usage(
            f"{option} {text!r} is not understood.",
            facts={"given": text},
            remedy="write a number and a unit, such as '30 s', '5 min' or '1 h 30 min'.",
        ) from None


def parse_moment(text: str, now: datetime, *, option: str = "--at", zone: tzinfo | None = None) -> datetime:
    """The moment meant, with its zone. `now` has a zone too; `zone` (None: this machine's) is that of HH:MM.

    HH:MM means the next time that the clock shows it. Raises Usage for what is past, has no zone, does not exist (clocks go
    forward) or exists twice (clocks go back) in its zone.
    """
    clock = _CLOCK.fullmatch(text.strip())
    if clock:
        return _next(clock, text, now, option, zone)
    moment, named = _absolute(text.strip(), option)
    if moment.tzinfo is None:
        if named is None:
            raise Usage(
                f"{option} {text!r} has no time zone.",
                facts={"given": text},
                remedy=f"say which zone is meant: {_SHAPES}.",
            )
        moment = _in_zone(moment, named, text, option)
    if moment.timestamp() <= now.timestamp():
        raise Usage(
            f"{option} {text!r} is in the past.",
            facts={"given": moment.isoformat(), "now": now.isoformat(timespec="seconds")},
            remedy="give a moment that is still to come; without the option it is done now.",
        )
    return moment


def _absolute(text: str, option: str) -> tuple[datetime, tzinfo | None]:
    day, _, last = text.rpartition(" ")
    named: tzinfo | None = None
    if day and re.match(r"[A-Za-z]", last):
        try:
            named = ZoneInfo(last)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise Usage(
                f"{option}: the time zone {last!r} is not known here.",
                facts={"given": text},
                remedy="write its name as in the IANA list (Europe/Berlin), or the distance from UTC (+01:00).",
            ) from None
        text = day
    try:
        return datetime.fromisoformat(text), named
    except ValueError:
        raise Usage(
            f"{option} {text!r} is not understood as a time.",
            facts={"given": text},
            remedy=f"write {_SHAPES}.",
        ) from None


def _next(clock: re.Match[str], text: str, now: datetime, option: str, zone: tzinfo | None) -> datetime:
    here = now.astimezone(zone)
    try:
        wanted = here.replace(
            hour=int(clock[1]), minute=int(clock[2]), second=int(clock[3] or 0), microsecond=0, tzinfo=None
        )
    except ValueError:
        raise Usage(
            f"{option} {text!r} is not a time of day.", facts={"given": text}, remedy=f"write {_SHAPES}."
        ) from None
    for days in (0, 1):
        moment = _in_zone(wanted + timedelta(days=days), zone, text, option, after=now)
        if moment.timestamp() > now.timestamp():
            return moment
    raise AssertionError("a time of day comes within two days")


def _in_zone(
    wanted: datetime, zone: tzinfo | None, text: str, option: str, *, after: datetime | None = None
) -> datetime:
    """The naive time in the zone; None for the zone: this machine's."""

    def there(fold: int) -> datetime:
        naive = wanted.replace(fold=fold)
        return naive.astimezone() if zone is None else naive.replace(tzinfo=zone)

    first, second = there(0), there(1)
    latest = max(first.timestamp(), second.timestamp())
    if first.utcoffset() == second.utcoffset() or (after is not None and latest <= after.timestamp()):
        return first
    exists = datetime.fromtimestamp(first.timestamp(), zone).replace(tzinfo=None, fold=0) == wanted
    raise Usage(
        f"{option} {text!r} {'comes twice' if exists else 'does not come'} on {wanted:%Y-%m-%d}: the clocks change.",
        facts={"one reading": first.isoformat(), "the other": second.isoformat()},
        remedy="give the moment with its distance from UTC, such as one of these.",
    )
