"""SQLAlchemy (2.0.20 and later, sync and async): reads of a table go to a rollout's other side, and are compared with it.

from hyperferry.sqlalchemy import ShadowReads, by_psycopg, route_reads

reads = route_reads(sessions, PlayerStats, flag=use_hypertables, source=by_psycopg(DSN), shadow=ShadowReads(DSN))
"""

from __future__ import annotations

from .compare import Outcome
from .hook import Reads, route_reads
from .metrics import Stats
from .shadow import ShadowReads
from .source import by_psycopg

__all__ = ["Outcome", "Reads", "ShadowReads", "Stats", "by_psycopg", "route_reads"]
