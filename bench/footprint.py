"""What a run takes: memory of the program, disk and WAL of the server. Linux only: it reads /proc and the server's folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .place import Connection, Place, as_installed

LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Footprint:
    """Bytes: the largest resident set of the program's processes together, the database's files at their largest, temporary
    ones included."""

    memory: int
    disk: int


@dataclass(frozen=True)
class Written:
    """Bytes since the server's statistics began: WAL, pages written or extended by anybody, temporary files."""

    wal: int
    pages: int
    temporary: int

    def __sub__(self, before: Written) -> Written:
        return Written(self.wal - before.wal, self.pages - before.pages, self.temporary - before.temporary)


def written(conn: Connection) -> Written:
    """What the server has written so far, to the end of a CHECKPOINT made for it. The pages are those that pg_stat_io counts
    outside the WAL."""
    wal = _number(conn, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
    conn.execute("CHECKPOINT")
    conn.execute("SELECT pg_stat_force_next_flush()")
    columns = conn.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'pg_catalog.pg_stat_io'::regclass AND attnum > 0"
    ).fetchall()
    sized = ("write_bytes",) in columns  # from PostgreSQL 18 on
    counted = (
        "write_bytes, 0) + COALESCE(extend_bytes, 0)"
        if sized
        else "writes, 0) * op_bytes + COALESCE(extends, 0) * op_bytes"
    )
    pages = _number(
        conn, f"SELECT sum(COALESCE({counted}) FROM pg_stat_io WHERE object IN ('relation', 'temp relation')"
    )
    return Written(wal, pages, _number(conn, "SELECT sum(temp_bytes) FROM pg_stat_database"))


def _number(conn: Connection, query: str) -> int:
    row = conn.execute(query).fetchone()
    return int(str(row[0])) if row and row[0] is not None else 0


def disk_of(folder: Path) -> int:
    """Bytes of the files in a folder, without what is below it; files that go meanwhile do not count."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    total += (
                        entry.stat(follow_symlinks=False).st_size
                        if entry.is_file(follow_symlinks=False)
                        else 0
                    )
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        return 0
    return total


def folders(place: Place, conn: Connection) -> tuple[Path, ...]:
    """Where the database's files are, and where temporary ones appear."""
    oid = _number(conn, "SELECT oid FROM pg_database WHERE datname = current_database()")
    base = place.data_dir / "base"
    return base / str(oid), base / "pgsql_tmp"


def memory_of(pid: int) -> int:
    """The largest resident sets so far of a process and of those it started, in bytes; 0 where it is gone."""
    total = 0
    for one in _family(pid):
        try:
            text = Path(f"/proc/{one}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:"))
    return total


def _family(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = path.read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            yield from _family(int(child))


def watched(place: Place, where: tuple[Path, ...], *words: str) -> Footprint:
    """Runs the program as a user would, and looks at it all the time. Raises RuntimeError where it fails."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "hyperferry", *words, "--dsn", place.dsn],
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=as_installed(),
        )
        memory, disk, done = 0, 0, threading.Event()

        def look() -> None:
            nonlocal memory, disk
            while True:
                memory = max(memory, memory_of(process.pid))
                disk = max(disk, sum(disk_of(folder) for folder in where))
                if done.wait(LOOK_SECONDS):
                    return

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            code = process.wait()
        finally:
            done.set()
            watcher.join()
        if code != 0:
            said.seek(0)
            raise RuntimeError(f"hyperferry {' '.join(words)} ended with {code}:\n{said.read()}")
    return Footprint(memory, disk)
