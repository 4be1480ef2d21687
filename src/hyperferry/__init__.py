"""hyperferry takes a live PostgreSQL table into a TimescaleDB hypertable: online, checked, and reversibly.

As a library: `hyperferry.engine` has a function for each command, `hyperferry.sandbox.server()` a disposable server. Both are
imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"
_ON_USE = ("engine", "sandbox")


def __getattr__(name: str) -> ModuleType:
    if name in _ON_USE:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
