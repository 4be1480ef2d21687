"""What is counted of shadow reads: as it is, and for Prometheus where prometheus-client is installed."""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from .compare import Outcome

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SIDES = ("record", "other")


@dataclass(frozen=True)
class Stats:
    """Counts by outcome, and by side how many seconds all comparisons took and how many lie in each bucket (the last: longer)."""

    outcomes: Mapping[str, int]
    seconds: Mapping[str, float]
    buckets: Mapping[str, tuple[int, ...]]


class Counted:
    """Counts, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.tables: tuple[str, ...] = ()
        self._outcomes = dict.fromkeys(map(str, Outcome), 0)
        self._seconds = dict.fromkeys(SIDES, 0.0)
        self._buckets = {side: [0] * (len(BUCKETS) + 1) for side in SIDES}

    def add(self, outcome: Outcome | None) -> None:
        """One more; None: there is nothing to say yet."""
        if outcome is not None:
            with self._lock:
                self._outcomes[str(outcome)] += 1

    def took(self, seconds: Mapping[str, float]) -> None:
        """How long either side took."""
        with self._lock:
            for side, value in seconds.items():
                self._seconds[side] += value
                self._buckets[side][bisect_left(BUCKETS, value)] += 1

    def forked(self) -> None:
        """In a forked process nobody will ever give the lock free that a thread held."""
        self._lock = threading.Lock()

    def stats(self) -> Stats:
        """As it is now."""
        with self._lock:
            return Stats(
                dict(self._outcomes),
                dict(self._seconds),
                {side: tuple(counts) for side, counts in self._buckets.items()},
            )


class _Collector:
    """Shows all counts that are still held to one registry."""

    def __init__(self) -> None:
        self.counted: weakref.WeakSet[Counted] = weakref.WeakSet()

    def describe(self) -> list[Any]:
        """Nothing beforehand."""
        return []

    def collect(self) -> Iterator[Any]:
        """The families of metrics."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        reads = CounterMetricFamily(
            "hyperferry_shadow_reads", "Shadow reads by what came of them", labels=("tables", "outcome")
        )
        took = HistogramMetricFamily(
            "hyperferry_shadow_read_seconds",
            "How long a shadow read took on either side",
            labels=("tables", "side"),
        )
        by_tables: dict[str, list[Stats]] = {}
        for counted in self.counted:  # two hooks may read the same tables: one series has the sum
            by_tables.setdefault(",".join(counted.tables), []).append(counted.stats())
        for tables, all_stats in sorted(by_tables.items()):
            for outcome in map(str, Outcome):
                reads.add_metric((tables, outcome), sum(stats.outcomes[outcome] for stats in all_stats))
            for side in SIDES:
                counts = [sum(column) for column in zip(*(stats.buckets[side] for stats in all_stats), strict=True)]
                ends = [*map(str, BUCKETS), "+Inf"]
                took.add_metric(
                    (tables, side),
                    [(end, total) for end, total in zip(ends, accumulate(counts), strict=True)],
                    sum(stats.seconds[side] for stats in all_stats),
                )
        yield reads
        yield took


_collectors: weakref.WeakKeyDictionary[Any, _Collector] = weakref.WeakKeyDictionary()


def export(counted: Counted, registry: Any = None) -> bool:
    """Shows the counts to a registry of prometheus_client (its own one by default); False where it is not installed."""
    if registry is None:
        try:
            from prometheus_client import REGISTRY
        except ImportError:
            return False
        registry = REGISTRY
    collector = _collectors.get(registry)
    if collector is None:
        collector = _collectors[registry] = _Collector()
        registry.register(collector)
    collector.counted.add(counted)
    return True
