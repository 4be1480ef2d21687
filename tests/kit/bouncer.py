"""A PgBouncer in front of a test's database: Debian's own, unpacked into a private root, run as the sandbox's user."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from hyperferry.errors import HyperferryError
from hyperferry.sandbox import places
from hyperferry.sandbox.private_root import cached_program

CONFIG = """
[databases]
app = host={host} port={port} dbname={database} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
admin_users = admin
pool_mode = transaction
default_pool_size = 10
so_reuseport = {reuse}
application_name_add_host = {add_host}
logfile = {folder}/log
pidfile = {folder}/pid
"""


@dataclass(frozen=True)
class Bouncer:
    """`dsn` is the pool `app` in transaction pooling, `admin` the console."""

    dsn: str
    admin: str

    def console(self, command: str) -> list[tuple[Any, ...]]:
        """What the console answers."""
        with psycopg.connect(self.admin, autocommit=True) as conn:
            done = conn.execute(command)  # type: ignore[call-overload]
            return done.fetchall() if done.description else []

    def paused(self) -> bool:
        """Whether the pool stands still."""
        with psycopg.connect(self.admin, autocommit=True) as conn:
            done = conn.execute("SHOW DATABASES")
            names = [column.name for column in done.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in done.fetchall()]
        return any(row["name"] == "app" and int(row["paused"]) for row in rows)


def _program() -> Path:
    if found := shutil.which("pgbouncer"):
        return Path(found)
    try:
        return cached_program("pgbouncer", "usr/sbin/pgbouncer", suite="trixie", say=print)
    except HyperferryError as error:
        pytest.skip(f"PgBouncer is not to be had: {error.message} {error.facts}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def pgbouncer(
    dsn: str, *, beside: Bouncer | None = None, several: bool = False, add_host: bool = False
) -> Iterator[Bouncer]:
    """A PgBouncer whose pool `app` leads to the database of `dsn`; `several` may answer at one address, one `beside` another."""
    program, account = _program(), places.server_account()
    target = conninfo_to_dict(dsn)
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir=places.make_folder(places.state_folder())))
    listen = int(conninfo_to_dict(beside.admin)["port"]) if beside else _free_port()
    (folder / "ini").write_text(
        CONFIG.format(
            folder=folder,
            listen=listen,
            reuse=int(several),
            add_host=int(add_host),
            host=target["host"],
            port=target["port"],
            database=target["dbname"],
            user=target["user"],
        )
    )
    (folder / "users").write_text(f'"admin" ""\n"{target["user"]}" ""\n')
    as_account: dict[str, Any] = {}
    if account.switch:
        for path in (folder, folder / "ini", folder / "users"):
            os.chown(path, account.uid, account.gid)
        as_account = {"user": account.uid, "group": account.gid, "extra_groups": []}
    process = subprocess.Popen([str(program), "-q", str(folder / "ini")], stderr=subprocess.DEVNULL, **as_account)
    place = f"host=127.0.0.1 port={listen} gssencmode=disable sslmode=disable"
    made = Bouncer(f"{place} user={target['user']} dbname=app", f"{place} user=admin dbname=pgbouncer")
    try:
        end = time.monotonic() + 30
        while True:
            try:
                made.console("SHOW VERSION")
                break
            except psycopg.OperationalError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
        yield made
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)
