"""Where it happens: a database of its own, in a sandbox made for it or on a server that was named; and the application on it."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg

from hyperferry import sandbox

HERE = Path(__file__).resolve().parents[1]
START_SECONDS = 60


@contextmanager
def database(dsn: str | None) -> Iterator[str]:
    """The URL of a new database, which goes at the end."""
    if dsn is None:
        with (
            sandbox.server(fast=True, say=lambda line: print(line, file=sys.stderr)) as server,
            database(server.dsn) as made,
        ):
            yield made
        return
    name = f"player_stats_{secrets.token_hex(4)}"
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def environment(url: str, driver: str) -> dict[str, str]:
    """For everything that works on the database: the application, Alembic, hyperferry."""
    kept = {key: value for key, value in os.environ.items() if key != "USE_HYPERTABLES"}
    path = os.pathsep.join([str(HERE), *filter(None, [kept.get("PYTHONPATH")])])
    return {**kept, "DATABASE_URL": url, "STATS_DRIVER": driver, "PYTHONPATH": path}


@contextmanager
def application(env: dict[str, str]) -> Iterator[str]:
    """The application, served by uvicorn; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["uvicorn", "player_stats.main:app", "--port", str(port), "--log-level", "warning"]
    served = subprocess.Popen(
        [sys.executable, "-m", *words, "--timeout-keep-alive", "120"], cwd=HERE, env=env, stdout=sys.stderr
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await_health(url, served)
        yield url
    finally:
        served.terminate()
        try:
            served.wait(20)
        except subprocess.TimeoutExpired:
            served.kill()
            served.wait()


def _await_health(url: str, served: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if served.poll() is not None:
            raise SystemExit(f"The application ended with exit code {served.returncode} instead of serving.")
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"The application did not answer within {START_SECONDS} seconds.")
