"""Looks at what the copy does to others, and decides how fast it may go. See README.md."""

from .decision import decide, latency_baseline
from .sample import Sampler, probe_ms
from .valve import Valve

__all__ = ["Sampler", "Valve", "decide", "latency_baseline", "probe_ms"]
