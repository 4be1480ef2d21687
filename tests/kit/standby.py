"""A server of a test's own, with a streaming standby where it asks for one. Other tests' servers must not feel either."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from hyperferry import sandbox
from hyperferry.sandbox import places
from hyperferry.sandbox.cluster import _free_port
from hyperferry.sandbox.process import stop_server
from servers import RUN, Connection, Server


@dataclass(frozen=True)
class Standby:
    """A hot standby that streams from its primary under the name `standby`."""

    dsn: str
    data_dir: Path

    def connect(self) -> Connection:
        """A session on it, which can read and steer its replay."""
        return psycopg.connect(self.dsn, autocommit=True)

    def run(self, statement: str) -> None:
        """One statement on it, such as SELECT pg_wal_replay_pause()."""
        with self.connect() as conn:
            conn.execute(statement)  # type: ignore[call-overload]


@contextmanager
def own_server(release: str) -> Iterator[Server]:
    """A sandbox for the length of the block."""
    name = f"test-{os.environ[RUN]}-own{uuid.uuid4().hex[:6]}"
    made = sandbox.up(name, release=release, fast=True)
    try:
        yield Server(release, made.dsn, made.bin_dir)
    finally:
        sandbox.down(name)


@contextmanager
def standby_of(primary: Server) -> Iterator[Standby]:
    """A standby made with the primary's own pg_basebackup, streaming for the length of the block."""
    with primary.connect() as conn:
        (data,) = conn.execute("SHOW data_directory").fetchone() or ("",)
    folder = Path(data).parent / f"standby-{uuid.uuid4().hex[:6]}"
    source, port = make_conninfo(primary.dsn, application_name="standby"), _free_port()
    _run(primary, "pg_basebackup", "-D", str(folder), "-R", "-X", "stream", "-c", "fast", "-d", source)
    try:
        log = str(folder / "standby.log")
        _run(primary, "pg_ctl", "start", "-w", "-s", "-D", str(folder), "-l", log, "-o", f"-p {port}")
        yield Standby(make_conninfo(primary.dsn, port=port), folder)
    finally:
        stop_server(folder)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def receiver_of(primary: Server) -> Iterator[None]:
    """A pg_receivewal of the primary's, called `receiver`, for the length of the block."""
    with primary.connect() as conn:
        (data,) = conn.execute("SHOW data_directory").fetchone() or ("",)
    account = places.server_account()
    folder = Path(data).parent / f"receiver-{uuid.uuid4().hex[:6]}"
    places.make_folder(folder)
    if account.switch:
        os.chown(folder, account.uid, account.gid)
    source = make_conninfo(primary.dsn, application_name="receiver")
    process = subprocess.Popen(
        [str(primary.program("pg_receivewal")), "-D", str(folder), "-d", source],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **account.popen_options,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def consumer_of(primary: Server, database: str) -> Iterator[subprocess.Popen[bytes]]:
    """A pg_recvlogical of a slot of its own in the database, called `consumer`, for the length of the block."""
    slot = f"consumer_{uuid.uuid4().hex[:6]}"
    dsn = make_conninfo(primary.dsn, dbname=database)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(f"CREATE PUBLICATION {slot}")
        conn.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
    account = places.server_account()
    process = subprocess.Popen(
        [str(primary.program("pg_recvlogical")), "--start", "--slot", slot, "-f", "/dev/null", "--status-interval", "1", "--fsync-interval", "1",
         "-o", "proto_version=1", "-o", f"publication_names={slot}", "-d", make_conninfo(dsn, application_name="consumer")],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **account.popen_options,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        with psycopg.connect(dsn, autocommit=True) as conn:
            end = time.monotonic() + 30
            while conn.execute("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", [slot]).fetchone():
                assert time.monotonic() < end
                time.sleep(0.1)
            conn.execute("SELECT pg_drop_replication_slot(%s)", [slot])
            conn.execute(f"DROP PUBLICATION {slot}")


def _run(server: Server, program: str, *arguments: str) -> None:
    account = places.server_account()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    output = Path(arguments[1]).parent if program == "pg_basebackup" else Path("/")
    done = subprocess.run(
        [str(server.program(program)), *arguments],
        cwd=output,
        env={**kept, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if program == "pg_basebackup" else subprocess.DEVNULL,
        text=True,
        umask=0o077,
        start_new_session=True,
        check=False,
        **account.popen_options,
    )
    assert done.returncode == 0, (program, done.stderr)
