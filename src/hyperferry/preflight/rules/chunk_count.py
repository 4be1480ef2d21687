"""How many chunks the interval makes, against what planning and the lock table bear."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ...model.plan import Strategy
from ...model.plan_options import default_workers
from ..words import blocker, warning


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """How many chunks the interval makes, against what planning and the lock table bear."""
    scan, server = inspection.scan, inspection.server
    if scan is None:
        return
    if scan.buckets > options.max_chunks:
        yield blocker(
            f"At {scan.interval} the rows make {scan.buckets:,} chunks; from about {options.max_chunks:,} "
            "on, planning suffers.",
            f"give a --chunk-interval at least {math.ceil(scan.buckets / options.max_chunks)} times as long.",
        )
    pool = server.max_locks_per_transaction * (server.max_connections + server.max_prepared_transactions)
    # By ranges of the key, where no index gives the time, each of our sessions reads all chunks.
    by_key = options.strategy is Strategy.BLUE_GREEN and not inspection.has_time_index
    sessions = (options.workers or default_workers(server.cores)) if by_key else 1
    locks = scan.buckets * (1 + len(inspection.indexes)) * sessions
    if locks > pool // 2:
        needed = math.ceil(2 * locks / (server.max_connections + server.max_prepared_transactions))
        several = f", and {sessions} workers do so at a time, as no index starts with the time column" if sessions > 1 else ""
        message = (
            f"A statement that touches all {scan.buckets:,} chunks with {len(inspection.indexes)} indexes "
            f"each takes {locks // sessions:,} locks{several}; the server "
            f"has room for {pool:,} in all (max_locks_per_transaction = {server.max_locks_per_transaction})."
        )
        remedy = (
            f"give a longer --chunk-interval{', or fewer --workers' if sessions > 1 else ''}, or: "
            f"ALTER SYSTEM SET max_locks_per_transaction = {needed}; and restart the server."
        )
        yield blocker(message, remedy) if locks > pool else warning(message, remedy)
