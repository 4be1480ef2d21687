"""What writers feel, from pgbench's own log: a line for each transaction."""

from __future__ import annotations

import math
import subprocess
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .place import Place

SCRIPTS = {"feel_select": 2, "feel_update": 1, "feel_insert": 1}
"""The scripts beside this file, and their weights."""
CLIENTS = 8
BUFFER_LINES = 400
"""As many lines of its log pgbench may still hold when it is ended (a buffer of 8 kB at the most, lines of 20 bytes and more)."""


@dataclass(frozen=True, order=True)
class Transaction:
    """When it ended (seconds since 1970), how long it took from when the rate wanted it, and how much of that it waited for its
    turn (milliseconds)."""

    ended: float
    ms: float
    lag_ms: float = 0.0


@dataclass(frozen=True)
class Window:
    """Two moments, in seconds since 1970."""

    start: float
    end: float


@dataclass(frozen=True)
class Feeling:
    """Latencies of the transactions that ended in a window, in milliseconds; `per_second`: how many ended in a second."""

    p50: float
    p95: float
    p99: float
    longest: float
    per_second: float


def parse_log(lines: Iterable[str]) -> Iterator[Transaction]:
    """pgbench's `--log` under `--rate`: client, number, microseconds (or `failed`, `skipped`), script, seconds, microseconds,
    lag. A last line that was cut off is left out. Raises ValueError for a transaction that failed or was skipped."""
    for line in lines:
        words = line.split()
        if not line.endswith("\n") or not words:
            continue
        if not words[2].isdigit():
            raise ValueError(f"a transaction of pgbench was {words[2]}: {line.strip()}")
        lag = int(words[6]) / 1000 if len(words) > 6 else 0.0
        yield Transaction(int(words[4]) + int(words[5]) / 1e6, int(words[2]) / 1000, lag)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that at least this share of them does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Log:
    """The transactions of one run, in the order of their ends."""

    def __init__(self, transactions: Iterable[Transaction]) -> None:
        self.all = sorted(transactions)

    def feeling(self, window: Window) -> Feeling | None:
        """What was felt in the window; None where nothing ended in it."""
        low = bisect_left(self.all, window.start, key=lambda t: t.ended)
        high = bisect_right(self.all, window.end, key=lambda t: t.ended)
        ordered = sorted(t.ms for t in self.all[low:high])
        if not ordered:
            return None
        p50, p95, p99 = (percentile(ordered, share) for share in (0.5, 0.95, 0.99))
        return Feeling(p50, p95, p99, ordered[-1], len(ordered) / (window.end - window.start))

    def longest(self, window: Window) -> float:
        """The longest transaction that was under way at any moment of the window, in milliseconds."""
        low = bisect_left(self.all, window.start, key=lambda t: t.ended)
        inside = (t.ms for t in self.all[low:] if t.ended - t.ms / 1000 <= window.end)
        return max(inside, default=0.0)

    @property
    def last(self) -> float:
        """When the last one ended."""
        return self.all[-1].ended if self.all else 0.0


class Writers:
    """pgbench at a fixed rate until `stop`, which gives its log."""

    def __init__(self, place: Place, rows: int, rate: int, folder: Path) -> None:
        self._folder, self._rate = folder, rate
        here = Path(__file__).parent
        command = [
            str(place.pgbench), "--no-vacuum", f"--client={CLIENTS}", "--jobs=1", "--time=86400", "--protocol=prepared",
            f"--rate={rate}", "--log", f"--log-prefix={folder / 'log'}", f"--define=rows={rows}",
            *(f"--file={here / name}.pgbench@{weight}" for name, weight in SCRIPTS.items()), place.dsn,
        ]  # fmt: skip
        self._said = (folder / "said").open("w+")
        self._process = subprocess.Popen(command, stdout=self._said, stderr=subprocess.STDOUT)

    def stop(self, until: float) -> Log:
        """Ends it when its log reaches beyond that moment. Raises RuntimeError for any error that a writer met."""
        time.sleep(max(0.0, until - time.time()) + 2 * BUFFER_LINES / self._rate)
        self.end()
        said = (self._folder / "said").read_text("utf-8")
        if "aborted" in said or "error" in said.lower():
            raise RuntimeError(f"a writer met an error: {said[-2000:]}")
        transactions: list[Transaction] = []
        for path in self._folder.glob("log.*"):
            with path.open(encoding="utf-8") as file:
                transactions += parse_log(file)
        log = Log(transactions)
        if log.last < until:
            raise RuntimeError(f"pgbench's log ends {until - log.last:.1f} s too early")
        return log

    def end(self) -> None:
        """Ends it, if it has not ended."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)
        self._said.close()


@contextmanager
def workload(place: Place, rows: int, rate: int) -> Iterator[Writers]:
    """Point SELECTs, UPDATEs and INSERTs of one row beside the block, `rate` transactions a second."""
    with tempfile.TemporaryDirectory() as folder:
        writers = Writers(place, rows, rate, Path(folder))
        try:
            yield writers
        finally:
            writers.end()
