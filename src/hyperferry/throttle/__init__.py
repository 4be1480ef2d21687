"""Looks at what the copy does to others, and decides how fast it may go. See README.md."""

from .company import Company
from .decision import decide, latency_baseline, sessions_at_once
from .sample import Sampler, probe_ms
from .valve import Valve

__all__ = ["Company", "Sampler", "Valve", "decide", "latency_baseline", "probe_ms", "sessions_at_once"]
