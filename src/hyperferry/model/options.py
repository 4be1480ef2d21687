"""What the user may decide about preflight."""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Strategy


@dataclass(frozen=True)
class PreflightOptions:
    """What the rules judge by, beside the inspection. `max_chunks` is where planning begins to hurt, by the
    vendor's guidance; `long_transaction_seconds` is the age from which an open transaction is worth a
    warning. `drop_inbound_fks` and `drop_from_publications` name what may be dropped in the cutover. `compress`: closed chunks
    are to be compressed on the way. `workers`: how many sessions of ours copy and verify at a time (None: `default_workers`)."""

    strategy: Strategy = Strategy.BLUE_GREEN
    max_chunks: int = 10_000
    long_transaction_seconds: float = 60.0
    drop_inbound_fks: tuple[str, ...] = ()
    drop_from_publications: tuple[str, ...] = ()
    compress: bool = False
    workers: int | None = None
