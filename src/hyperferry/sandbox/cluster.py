"""One data folder with its server: make, start, ask."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from hyperferry import db
from hyperferry.errors import ConnectionFailed, Failed
from hyperferry.sandbox.installation import Installation
from hyperferry.sandbox.places import Account, make_folder

__all__ = ["Answer", "Cluster", "dsn"]

#: A path of a Unix socket must be shorter than this, on the strictest system (macOS: 104 bytes).
SOCKET_PATH_BYTES = 100

START_ATTEMPTS = 8


@dataclass(frozen=True)
class Answer:
    """What a running server says of itself."""

    postgres_version: str
    timescaledb_version: str
    edition: str


@dataclass(frozen=True)
class Cluster:
    """A data folder inside `folder`, run by the programs of `installation` as `account`."""

    folder: Path
    installation: Installation
    account: Account

    @property
    def data_dir(self) -> Path:
        """PostgreSQL's data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.folder / "server.log"

    def create(self, *, fast: bool, settings: Mapping[str, str] | None = None) -> None:
        """Make the data folder with its settings; `fast` turns off what protects it from a power cut. `settings`, as in
        postgresql.conf, win over the sandbox's own."""
        make_folder(self.folder)
        if self.account.switch:
            os.chown(self.folder, self.account.uid, self.account.gid)
        self.folder.chmod(0o700)
        command = ["initdb", "--pgdata", str(self.data_dir), "--username=postgres", "--auth=trust"]
        command += ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        if self.installation.major >= 17:
            # Case and classes of all letters, without a locale of the machine.
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        done = self._run(*command)
        if done.returncode != 0:
            raise Failed("initdb failed.", facts={"it says": done.stdout.strip()})
        with (self.data_dir / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(self._settings(fast, settings or {}))
        (self.data_dir / "pg_hba.conf").write_text(
            "# A sandbox: any role from this machine, nobody from elsewhere.\n"
            "local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all ::1/128 trust\n"
            "local replication all trust\nhost replication all 127.0.0.1/32 trust\n",
            encoding="utf-8",
        )

    def start(self, *, port: int | None = None) -> int:
        """Start the server so that it outlives us; the port it listens on: `port`, if that is free."""
        for _ in range(START_ATTEMPTS):
            number = port or _free_port()
            port = None
            if self.log.exists():
                self.log.rename(self.log.with_suffix(".log.1"))
            done = self._run(
                "pg_ctl", "start", "--wait", "--timeout=120", "--silent", "--pgdata", str(self.data_dir),
                "--log", str(self.log), "--options", f"-p {number}",
            )  # fmt: skip
            if done.returncode == 0:
                return number
            if "already in use" not in self._log_text():
                break
        raise Failed(
            "The server did not start.",
            facts={"programs": self.installation.bin_dir, "its log ends": self._log_text()[-1500:].strip()},
            remedy="Look at the log's last lines; `hyperferry sandbox down` removes what is left of it.",
        )

    def add_extension(self) -> None:
        """Create TimescaleDB in template1, so that every new database has it, and in postgres.

        It is done before `start`, and nobody may connect to template1 afterwards: TimescaleDB's launcher
        starts a scheduler in every database that allows connections, and one in template1 makes
        CREATE DATABASE fail.
        """
        create = "CREATE EXTENSION timescaledb SCHEMA public;"
        self._alone("template1", create)
        self._alone("postgres", create, "ALTER DATABASE template1 ALLOW_CONNECTIONS false;")

    def ask(self, port: int) -> Answer | None:
        """What the server on `port` says of itself; None if none answers there or it serves other data."""
        try:
            with db.connect(dsn(port), purpose="sandbox", connect_timeout=5) as connection:
                row = connection.execute(
                    "SELECT current_setting('data_directory'), current_setting('server_version'),"
                    " current_setting('timescaledb.license', true),"
                    " (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb')"
                ).fetchone()
        except (ConnectionFailed, psycopg.OperationalError):  # none, or one that is being stopped while it is asked
            return None
        if row is None or Path(row[0]).resolve() != self.data_dir.resolve():
            return None
        version = re.match(r"\S+", row[1])
        return Answer(
            postgres_version=version.group() if version else row[1],
            timescaledb_version=row[3] or "",
            edition="community" if row[2] == "timescale" else "apache",
        )

    def _settings(self, fast: bool, wanted: Mapping[str, str]) -> str:
        libraries = ["timescaledb"]
        if self.installation.has_library("pg_stat_statements"):
            libraries.append("pg_stat_statements")
        too_long = len(os.fsencode(self.folder / ".s.PGSQL.65535.lock")) > SOCKET_PATH_BYTES
        settings = {
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": "''" if too_long else f"'{self.folder}'",
            "shared_preload_libraries": f"'{','.join(libraries)}'",
            "timescaledb.telemetry_level": "off",
            "wal_level": "logical",
            "max_connections": "200",
            "max_locks_per_transaction": "256",
            "max_prepared_transactions": "20",
            "max_worker_processes": "40",
            "timescaledb.max_background_workers": "24",
            "shared_buffers": f"{_shared_buffers_mb()}MB",
            "max_wal_size": "4GB",
            "checkpoint_timeout": "15min",
            "jit": "off",
            "log_line_prefix": "'%m [%p] %q%u@%d '",
        }
        if fast:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        lines = "".join(f"{name} = {value}\n" for name, value in {**settings, **wanted}.items())
        return f"\n# hyperferry's sandbox\n{lines}"

    def _alone(self, database: str, *statements: str) -> None:
        """Run `statements` in a stand-alone backend, which needs no running server."""
        typed = "".join(f"{statement}\n\n" for statement in statements)
        done = self._run("postgres", "--single", "-j", "-D", str(self.data_dir), database, typed=typed)
        if done.returncode != 0 or re.search(r"(ERROR|FATAL|PANIC): ", done.stdout):
            raise Failed(
                "TimescaleDB could not be created in a new server.",
                facts={"database": database, "the server says": done.stdout[-1500:].strip()},
                remedy="Look whether this PostgreSQL and its TimescaleDB belong together.",
            )

    def _run(self, program: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        environment = {**kept, "LC_ALL": "C", "HOME": str(self.folder)}
        # Output goes to files, not pipes: the server inherits them and would keep a reader waiting. They have no name: the folder
        # belongs to the server's account, which could have put a link in their place.
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8") as typing,
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output,
        ):
            typing.write(typed)
            typing.seek(0)
            done = subprocess.run(
                [str(self.installation.program(program)), *arguments],
                cwd=self.folder,
                env=environment,
                stdin=typing,
                stdout=output,
                stderr=subprocess.STDOUT,
                umask=0o077,
                start_new_session=True,
                check=False,
                **self.account.popen_options,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")

    def _log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else "(no log)"


def dsn(port: int) -> str:
    """How to connect. Says what a real server's variables (PGHOSTADDR, PGSSLMODE, ...) would otherwise decide."""
    return f"postgresql://postgres@127.0.0.1:{port}/postgres?hostaddr=127.0.0.1&sslmode=disable&gssencmode=disable"


def _free_port() -> int:
    # Another may take it before the server does; `start` then tries the next.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _shared_buffers_mb() -> int:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 128
    return max(64, min(512, memory // 8 // 2**20))
