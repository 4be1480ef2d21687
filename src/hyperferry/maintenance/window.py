"""The time of day in which maintenance may be done. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..errors import Usage

_SHAPE = re.compile(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})(?:\s+(\S+))?\s*")


@dataclass(frozen=True)
class Window:
    """From `begin` to before `end` each day; over midnight where the end comes first. `zone` None: this machine's."""

    begin: time
    end: time
    zone: tzinfo | None = None

    def _here(self, now: datetime) -> datetime:
        return now.astimezone(self.zone)

    def open(self, now: datetime) -> bool:
        """Whether it may be worked now. `now` has a zone."""
        clock = self._here(now).time()
        if self.begin < self.end:
            return self.begin <= clock < self.end
        return clock >= self.begin or clock < self.end

    def opens(self, now: datetime) -> datetime:
        """When it opens next, not before `now`, to the minute."""
        here = self._here(now)
        moment = here.replace(hour=self.begin.hour, minute=self.begin.minute, second=0, microsecond=0)
        return moment if moment >= here else moment + timedelta(days=1)

    def __str__(self) -> str:
        """As a user writes it."""
        return f"{self.begin:%H:%M}-{self.end:%H:%M}" + (f" {self.zone}" if self.zone else "")


def parse_window(text: str) -> Window:
    """'02:00-05:00', '22:00-04:00 Europe/Berlin'. Raises Usage."""
    match = _SHAPE.fullmatch(text)
    remedy = "write it as 02:00-05:00, of this machine's clock, or with a zone: '02:00-05:00 Europe/Berlin'."
    if match is None:
        raise Usage(f"--window {text!r} is not understood.", facts={"given": text}, remedy=remedy)
    try:
        begin, end = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
        zone = None if match[5] is None else ZoneInfo(match[5])
    except (ValueError, ZoneInfoNotFoundError, OSError) as error:
        raise Usage(f"--window {text!r} is not understood.", facts={"reason": error}, remedy=remedy) from None
    if begin == end:
        raise Usage(f"--window {text!r} has no length.", facts={"given": text}, remedy=remedy)
    return Window(begin, end, zone)
