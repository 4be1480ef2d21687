"""What slows the copy down: limits as a person writes them, what was seen, and what was decided."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

FACTOR_FLOOR_MS = 100.0
"""A limit that is a multiple of the baseline never lies below this: ten times nearly nothing is still nearly nothing."""

_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-zA-Z]*)\s*")
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_MILLISECONDS = {"": 1.0, "ms": 1.0, "s": 1000.0}
_BYTES = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}
_ROWS = {"": 1.0, "rows/s": 1.0}


@dataclass(frozen=True)
class Latency:
    """A limit for the latency of writers: milliseconds, or a multiple of what was measured without copying."""

    milliseconds: float | None = None
    factor: float | None = None

    def in_ms(self, baseline_ms: float | None) -> float | None:
        """The limit in milliseconds; None where a multiple has no baseline yet."""
        if self.milliseconds is not None:
            return self.milliseconds
        if self.factor is None or baseline_ms is None:
            return None
        return max(self.factor * baseline_ms, FACTOR_FLOOR_MS)


@dataclass(frozen=True)
class Cores:
    """How many of the server's cores may be worked on beside others: a number, or half of them (`number` None)."""

    number: int | None = None

    def of(self, cores: int | None) -> int | None:
        """The number, at least 1; None for half of what is not known."""
        if self.number is not None:
            return self.number
        return None if cores is None else max(1, cores // 2)

    def __str__(self) -> str:
        return "half" if self.number is None else str(self.number)


@dataclass(frozen=True)
class Limits:
    """What the copy is held to; None: not at all. Rows per second, seconds, bytes, milliseconds, seconds, cores."""

    max_rate: float | None = None
    max_replica_lag: float | None = 10.0
    max_slot_lag: float | None = 10.0 * (1 << 30)
    max_latency: Latency | None = Latency(factor=10.0)
    max_lock_wait: float | None = 1.0
    max_cores: Cores | None = Cores()


DEFAULTS: Mapping[str, str] = {
    "max_rate": "none",
    "max_replica_lag": "10s",
    "max_slot_lag": "10GB",
    "max_latency": "10x",
    "max_lock_wait": "1s",
    "max_cores": "half",
}
"""The limits of whoever says nothing, as a person would write them."""


def _measure(text: str, units: Mapping[str, float], example: str, *, zero: bool = False) -> float:
    found = _NUMBER.fullmatch(text)
    unit = units.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise ValueError(f"{text!r} is not understood: {example}, or none")
    value = float(found[1]) * unit
    if value <= 0 and not zero:
        raise ValueError(f"{text!r} would stop the copy for ever: {example}, or none")
    return value


def _latency(text: str) -> Latency:
    if text.strip().lower().endswith("x"):
        factor = _measure(text.strip()[:-1], {"": 1.0}, "a multiple such as 10x")
        if factor <= 1:
            raise ValueError(f"{text!r} would stop the copy for ever: a multiple has to be greater than 1x")
        return Latency(factor=factor)
    return Latency(
        milliseconds=_measure(text, _MILLISECONDS, "milliseconds such as 250ms, or a multiple such as 10x")
    )


def _cores(text: str) -> Cores:
    if text.strip().lower() == "half":
        return Cores()
    found = re.fullmatch(r"\s*0*([1-9]\d{0,5})\s*", text)
    if found is None:
        raise ValueError(f"{text!r} is not understood: a whole number of cores such as 2, or half")
    return Cores(int(found[1]))


def parse_limit(name: str, text: str) -> float | Latency | Cores | None:
    """One limit from a person's words; None for `none`. Raises ValueError that says what is understood."""
    if text.strip().lower() == "none":
        return None
    if name == "max_rate":
        return _measure(text, _ROWS, "rows per second such as 5000")
    if name == "max_slot_lag":
        return _measure(text, _BYTES, "bytes such as 10GB")
    if name == "max_latency":
        return _latency(text)
    if name == "max_cores":
        return _cores(text)
    if name in ("max_replica_lag", "max_lock_wait"):
        return _measure(text, _SECONDS, "seconds such as 10s or 500ms")
    raise ValueError(f"there is no limit {name!r}")


def limits_of(wishes: Mapping[str, str]) -> Limits:
    """The limits under these wishes; what is not among them is as in DEFAULTS. Raises ValueError."""
    return replace(Limits(), **{name: parse_limit(name, text) for name, text in wishes.items()})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Replica:
    """A standby or subscriber that streams from here. `seconds`: how far its slowest stage is behind."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Slot:
    """A replication slot: the bytes of WAL that it keeps, and how many more it may keep before it is lost (None: no bound).
    `bound` is max_slot_wal_keep_size in bytes."""

    name: str
    kept: int
    active: bool
    safe: int | None = None
    bound: int | None = None


@dataclass(frozen=True)
class LockWait:
    """A session of somebody else's that waits for a lock on the source. `behind`: who is in its way, in words."""

    who: str
    seconds: float
    behind: str = ""


@dataclass(frozen=True)
class Samples:
    """What was seen at one moment. `latency_ms` is a median of the last probes. `blind` says what could not be seen, and
    why; `no_answer_seconds` for how long the server has not answered at all. `company`: so many sessions of others are at
    work, on a server of `cores` (None: not known), beside our `workers`."""

    replicas: tuple[Replica, ...] = ()
    slots: tuple[Slot, ...] = ()
    latency_ms: float | None = None
    baseline_ms: float | None = None
    lock_waits: tuple[LockWait, ...] = ()
    blind: tuple[str, ...] = ()
    no_answer_seconds: float = 0.0
    company: int = 0
    cores: int | None = None
    workers: int = 0


class Cause(StrEnum):
    """What can slow the copy, by the names that `status` uses."""

    REPLICA_LAG = "replica lag"
    SLOT_LAG = "slot lag"
    LATENCY = "latency"
    LOCK_WAITS = "lock waits"
    NO_ANSWER = "no answer"
    COMPANY = "others at work"
    RATE = "rate"


@dataclass(frozen=True)
class Reason:
    """Why the copy is slowed (`stops`: stopped): in words, with the numbers."""

    cause: Cause
    stops: bool
    text: str


@dataclass(frozen=True)
class Decision:
    """How fast the copy may go: `pace` is a share of its full speed (0: it waits), `rate` rows per second at most, `apply_pace`
    the same for the applier, never 0; `workers`: so many sessions may be at work at once (None: all that there are)."""

    pace: float = 1.0
    rate: float | None = None
    apply_pace: float = 1.0
    workers: int | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def state(self) -> str:
        """`stopped`, `slowed` or `free`."""
        if self.pace == 0:
            return "stopped"
        return "slowed" if self.reasons else "free"

    @property
    def text(self) -> str:
        """In words, '' where nothing holds the copy back."""
        return "; ".join(reason.text for reason in self.reasons)
