"""Where a benchmark runs: a server of its own with fsync on, and what the machine is."""

from __future__ import annotations

import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hyperferry import sandbox

SETTINGS = (
    "shared_buffers", "fsync", "synchronous_commit", "full_page_writes", "wal_level", "max_wal_size", "work_mem",
    "maintenance_work_mem", "max_parallel_workers_per_gather", "max_parallel_maintenance_workers", "jit",
    "data_checksums", "autovacuum", "default_statistics_target", "min_wal_size", "effective_cache_size", "wal_compression",
)  # fmt: skip
"""The settings that figures depend on; they are kept with the result."""

MESSAGE_BYTES = 1_000_000

RESULTS = ("bench/results", "bench/notes.md", "docs/speed.md")
"""What a run writes itself, or is written about it."""

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class Place:
    """A server for one run."""

    dsn: str
    release: str
    postgres: str
    timescaledb: str
    edition: str
    pgbench: Path
    data_dir: Path

    @property
    def title(self) -> str:
        """Its versions, as cases name them."""
        return f"PG {self.postgres} / TS {self.timescaledb}"

    @contextmanager
    def made(self, name: str) -> Iterator[Place]:
        """A new database beside this one, gone at the end."""
        full = f"{conninfo_to_dict(self.dsn)['dbname']}_{name}"
        database = sql.Identifier(full)
        with self.connect() as conn:
            conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template1").format(database))
        try:
            yield replace(self, dsn=make_conninfo(self.dsn, dbname=full))
        finally:
            with self.connect() as conn:
                conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))

    def connect(self, name: str = "bench") -> Connection:
        """A session in autocommit."""
        return psycopg.connect(self.dsn, autocommit=True, application_name=name)


@contextmanager
def place(release: str) -> Iterator[Place]:
    """A new server of that release with the sandbox's durable settings, gone at the end."""
    with sandbox.server(release=release) as server:
        yield Place(
            server.dsn,
            release,
            server.postgres_version,
            server.timescaledb_version,
            server.edition,
            server.program("pgbench"),
            server.data_dir,
        )


def keep_segments(conn: Connection) -> None:
    """WAL segments that were made once are used again, as on a server that has written as much for a while. Whoever has to make
    one fills 16 MB with zeros and flushes them, and every commit waits for it: on a new server, for each 16 MB of the copy."""
    [most] = conn.execute("SHOW max_wal_size").fetchone() or ("1GB",)
    conn.execute(sql.SQL("ALTER SYSTEM SET min_wal_size = {}").format(sql.Literal(most)))
    conn.execute("SELECT pg_reload_conf()")


def make_segments(conn: Connection, table: str) -> None:
    """Enough of them for twice the table with its indexes, or for max_wal_size, where there are fewer: what is measured first
    does not make them then. The WAL that makes them says nothing."""
    conn.execute("CHECKPOINT")
    wanted, there = conn.execute(
        "SELECT least(2 * pg_total_relation_size(%s::regclass), pg_size_bytes(current_setting('max_wal_size'))), "
        "(SELECT sum(size) FROM pg_ls_waldir())",
        [table],
    ).fetchone() or (0, 0)
    messages = math.ceil(int(str(wanted)) / MESSAGE_BYTES) if int(str(there)) < int(str(wanted)) else 0
    for _ in range(messages):
        conn.execute("SELECT pg_logical_emit_message(false, 'bench', repeat('x', %s))", [MESSAGE_BYTES])
    conn.execute("CHECKPOINT")


def as_installed() -> dict[str, str]:
    """The environment in which Python keeps what it compiled, as it has it of an installed program: else a start pays for that
    each time."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def machine() -> dict[str, object]:
    """What the figures were measured on: processor, cores, memory, system, Python, how long a fixed piece of work takes (machines
    of one description differ by half), and the load at the beginning."""
    facts: dict[str, object] = {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "probe_ms": probe(),
    }
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if "model name" in line
        ]
        facts["processor"] = names[0] if names else "unknown"
    if meminfo.exists():
        facts["memory_gib"] = round(int(meminfo.read_text().split()[1]) / 1024**2, 1)
    return facts


def probe() -> float:
    """Milliseconds of a fixed piece of work on one core, the median of seven times."""
    times = []
    for _ in range(7):
        started = time.perf_counter()
        sum(i * i for i in range(300_000))
        times.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(times), 1)


def server_settings(conn: Connection) -> dict[str, str]:
    """The settings that figures depend on, and whose server it is: `role` is superuser or owner."""
    rows = conn.execute(
        "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [list(SETTINGS)]
    )
    settings = {str(name): str(value) for name, value in rows}
    [superuser] = conn.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() or (False,)
    return {**settings, "role": "superuser" if superuser else "owner"}


def revision() -> str:
    """The commit that was measured, with a plus where files other than results differ from it; `unknown` outside a
    repository."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        dirty = subprocess.run(
            [*git, "status", "--porcelain", "--", ":/", *(f":(top,exclude){path}" for path in RESULTS)],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+" if dirty.stdout.strip() else "")
