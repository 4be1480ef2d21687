"""What the user may decide about preflight."""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Strategy


@dataclass(frozen=True)
class PreflightOptions:
    """What the rules judge by, beside the inspection. `max_chunks` is where planning begins to hurt, by the
    vendor's guidance; `long_transaction_seconds` is the age from which an open transaction is worth a
    warning."""

    strategy: Strategy = Strategy.BLUE_GREEN
    max_chunks: int = 10_000
    long_transaction_seconds: float = 60.0
