"""Where a server comes from: a disposable local PostgreSQL with TimescaleDB, without Docker and without root.

    with hyperferry.sandbox.server() as sandbox:
        connection = psycopg.connect(sandbox.dsn)

The module can be imported on every system; its functions raise `Failed` where a sandbox cannot run.
"""

from __future__ import annotations

from hyperferry.sandbox.registry import DEFAULT_NAME, Sandbox, down, get, server, status, up

__all__ = ["DEFAULT_NAME", "Sandbox", "down", "get", "server", "status", "up"]
