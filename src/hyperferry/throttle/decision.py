"""The decision: what was seen, against the limits. Pure.

Each signal becomes a severity: its value over its limit. Up to `SLOW` it holds nothing back; from there to 1 the pace falls
evenly to `SLOWEST`; at 1 copying stops, and goes on only when the severity is down at `SLOW` again, so that it does not flap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from ..model.throttle import Cause, Decision, Limits, Reason, Samples, Slot
from ..words import duration, milliseconds, size

SLOW = 0.7
SLOWEST = 0.1
APPLY_LEAST = 0.25
"""The applier's pace while replicas or slots are over their limit: a stopped one would let the change log grow for ever."""
SAFE_BYTES = 512 << 20
"""A slot that may keep less than this before it is lost has no room for a copy (half its bound, where that is less)."""
NO_ANSWER_SECONDS = 10.0
WINDOW = 5
"""Probes whose median counts as the latency."""
SETTLE_SECONDS = 10.0
"""How long copying must have stood still until the latency is that of the server without it."""


def pace_at(severity: float) -> float:
    """The share of full speed: 1 up to SLOW, SLOWEST just below 1, else 0."""
    if severity >= 1:
        return 0.0
    if severity <= SLOW:
        return 1.0
    return 1 - (severity - SLOW) / (1 - SLOW) * (1 - SLOWEST)


def _slot_severity(slot: Slot, limit: float) -> float:
    severity = slot.kept / limit
    if slot.safe is not None:
        room = min(SAFE_BYTES, slot.bound / 2) if slot.bound else SAFE_BYTES
        severity = max(severity, 1.0 if slot.safe <= room else room / slot.safe)
    return severity


def _slot_text(slot: Slot, limit: float) -> str:
    state = "" if slot.active else ", which nobody reads,"
    safe = ""
    if slot.safe is not None:
        safe = (
            f" and is lost after {size(max(slot.safe, 0))} more"
            if slot.safe > 0
            else " and is about to be lost"
        )
    return f"slot {slot.name}{state} keeps {size(slot.kept)} of WAL (limit {size(limit)}){safe}"


def _signals(samples: Samples, limits: Limits) -> Iterator[tuple[Cause, float, str]]:
    """Each signal with its severity, in words."""
    if limits.max_replica_lag is not None and samples.replicas:
        worst = max(samples.replicas, key=lambda replica: replica.seconds)
        yield (
            Cause.REPLICA_LAG,
            worst.seconds / limits.max_replica_lag,
            f"replica {worst.name} is {duration(worst.seconds)} behind (limit {duration(limits.max_replica_lag)})",
        )
    if limits.max_slot_lag is not None and samples.slots:
        limit = limits.max_slot_lag
        severity, slot = max(((_slot_severity(s, limit), s) for s in samples.slots), key=lambda pair: pair[0])
        yield Cause.SLOT_LAG, severity, _slot_text(slot, limit)
    if limits.max_latency is not None and samples.latency_ms is not None:
        bound = limits.max_latency.in_ms(samples.baseline_ms)
        if bound is not None:
            without = ""
            if limits.max_latency.factor is not None and samples.baseline_ms is not None:
                without = f", {milliseconds(samples.baseline_ms)} without copying"
            yield (
                Cause.LATENCY,
                samples.latency_ms / bound,
                f"a commit takes {milliseconds(samples.latency_ms)} (limit {milliseconds(bound)}{without})",
            )
    if limits.max_lock_wait is not None and samples.lock_waits:
        wait = max(samples.lock_waits, key=lambda each: each.seconds)
        behind = f" behind {wait.behind}" if wait.behind else ""
        yield (
            Cause.LOCK_WAITS,
            wait.seconds / limits.max_lock_wait,
            f"{wait.who} has waited {duration(wait.seconds)} for a lock on the table{behind} "
            f"(limit {duration(limits.max_lock_wait)})",
        )
    if samples.no_answer_seconds:
        yield (
            Cause.NO_ANSWER,
            samples.no_answer_seconds / NO_ANSWER_SECONDS,
            f"the server has not answered for {duration(samples.no_answer_seconds)}",
        )


def decide(samples: Samples, limits: Limits, before: Decision | None = None) -> Decision:
    """How fast the copy may go now; `before` is the last decision, which makes what stopped it let go later."""
    stopped = {reason.cause for reason in before.reasons if reason.stops} if before else set()
    pace = apply_pace = 1.0
    reasons: list[Reason] = []
    for cause, severity, text in _signals(samples, limits):
        own = pace_at(severity)
        if cause in stopped and severity > SLOW:
            own = 0.0
        if own < 1:
            reasons.append(Reason(cause, own == 0, text))
        pace = min(pace, own)
        if cause in (Cause.REPLICA_LAG, Cause.SLOT_LAG):
            apply_pace = min(apply_pace, max(own, APPLY_LEAST))
    workers, text = sessions_at_once(samples, limits)
    if text:
        reasons.append(Reason(Cause.COMPANY, False, text))
    if limits.max_rate is not None:
        reasons.append(Reason(Cause.RATE, False, f"at most {limits.max_rate:,.0f} rows/s by hand"))
    reasons.sort(key=lambda reason: not reason.stops)
    return Decision(pace, limits.max_rate, apply_pace, workers, tuple(reasons))


def sessions_at_once(samples: Samples, limits: Limits) -> tuple[int | None, str]:
    """How many of our sessions may be at work at once (None: all), and why where that is fewer than there are.

    On a server whose cores are all taken whoever commits waits for a turn on one: docs/speed.md has what writers feel of as many
    sessions as cores, and of half as many.
    """
    if limits.max_cores is None or not samples.company:
        return None, ""
    most = limits.max_cores.of(samples.cores)
    if most is None or most >= samples.workers:
        return most, ""
    others = f"{samples.company} session" + ("s of others are" if samples.company > 1 else " of others is")
    return most, f"{others} at work: {most} of {samples.workers} workers at once (limit {limits.max_cores})"


def latency_of(probes: Sequence[float]) -> float | None:
    """The latency that the last probes show."""
    return median(probes[-WINDOW:]) if probes else None


def latency_baseline(
    baseline_ms: float | None, probes: Sequence[float], stopped_seconds: float
) -> float | None:
    """What a commit takes without copying: the first measure, or, when copying has stood still for long and it takes longer all
    the same, what it takes now. Then it is not we who make it slow, and waiting on would help nobody."""
    now = latency_of(probes)
    if now is None or baseline_ms is None:
        return baseline_ms
    return max(baseline_ms, now) if stopped_seconds >= SETTLE_SECONDS else baseline_ms
