"""What the user may decide about a plan."""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Strategy

DEFAULT_BATCH_ROWS = 50_000
DEFAULT_WORKERS = 2
"""Where nothing is known of the server's cores."""
MOST_WORKERS = 8
"""Of the default: more is for the user to say."""


def default_workers(cores: int | None) -> int:
    """Half of the cores, as the other half is the application's, at least two (one reads while the other waits for the disk) and
    at most eight; two where the server's machine is not this one, so that its cores are not known."""
    return DEFAULT_WORKERS if cores is None else max(DEFAULT_WORKERS, min(MOST_WORKERS, cores // 2))


@dataclass(frozen=True)
class CompressionWish:
    """Compression on the way, in the user's words: columns to segment by (None: none), columns to order by as in ORDER BY ('at
    DESC',
    None: the time, then the key), and how old a chunk has to be ('30 days', for an integer time a number in its unit; None: its
    time is over)."""

    segment_by: tuple[str, ...] | None = None
    order_by: tuple[str, ...] | None = None
    after: str | int | None = None  # a number: microseconds, or units of an integer time


@dataclass(frozen=True)
class PlanOptions:
    """Choices that steer the planner.

    `strategy` None means blue-green; `chunk_interval` is text such as '7 days', 'PT12H' or, for integer columns, a number in the
    column's own unit (None: computed from the data). `workers` None means half of the server's cores, as far as these are known.
    `drop_inbound_fks` and `drop_from_publications` name what may be dropped in the cutover. `compression` None: nothing is
    compressed on the way.
    """

    strategy: Strategy | None = None
    chunk_interval: str | None = None
    batch_rows: int = DEFAULT_BATCH_ROWS
    workers: int | None = None
    drop_inbound_fks: tuple[str, ...] = ()
    drop_from_publications: tuple[str, ...] = ()
    compression: CompressionWish | None = None
