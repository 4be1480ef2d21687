"""Servers and databases that tests run on: our own sandboxes, or what the environment names instead."""

from __future__ import annotations

import os
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hyperferry import sandbox
from hyperferry.sandbox.installation import listed_servers

RELEASES = {"stable": "pg17", "testing": "pg18"}

#: Set by the first process of a run and inherited by its workers.
RUN = "HYPERFERRY_TEST_RUN"

#: Times a test runs a statement that pg_stat_statements is to keep: its entries are shared by all tests on a server, and those
#: used once are dropped for room within seconds.
SO_OFTEN = 100

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Server:
    """A server of one release (`stable`, `testing`, `community`); `bin_dir` is None for one not ours."""

    release: str
    dsn: str
    bin_dir: Path | None

    def connect(self) -> Connection:
        """An autocommit session as the superuser, in the maintenance database."""
        return psycopg.connect(self.dsn, autocommit=True)

    def program(self, name: str) -> Path:
        """The server's own psql, pg_dump, ...: a client of another version may refuse to work with it."""
        return self.bin_dir / name if self.bin_dir is not None else Path(name)


@dataclass
class Database:
    """A database of its own for one test, with TimescaleDB in it."""

    name: str
    server: Server
    _roles: list[str] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        """Connection string as the superuser, in URL form."""
        return self.dsn_as()

    @property
    def release(self) -> str:
        """`stable` or `testing`."""
        return self.server.release

    def dsn_as(self, role: str | None = None) -> str:
        """Connection string as `role`."""
        parts = conninfo_to_dict(self.server.dsn)
        if role is not None:
            parts.pop("password", None)
        user = role or parts.get("user", "postgres")
        password = f":{parts['password']}" if parts.get("password") else ""
        place = f"{parts.get('host', '127.0.0.1')}:{parts.get('port', 5432)}"
        return f"postgresql://{user}{password}@{place}/{self.name}"

    def connect(self, role: str | None = None, **options: Any) -> Connection:
        """An autocommit session, as the superuser or as `role`; close it, or use it in a `with`."""
        options.setdefault("autocommit", True)
        return psycopg.connect(self.dsn_as(role), **options)

    def execute(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """Run one statement (or several, without parameters) as the superuser; the rows, if it gives any."""
        with self.connect() as connection:
            done = connection.execute(query, params or None)  # type: ignore[call-overload]
            return done.fetchall() if done.description else []

    def make_role(self, prefix: str = "app") -> str:
        """A login role without a password and with a new name; it goes when the database goes."""
        name = f"{prefix}_{uuid.uuid4().hex[:8]}"
        self.execute(f'CREATE ROLE "{name}" LOGIN')
        self._roles.append(name)
        return name


def make_database(server: Server) -> Database:
    """A new database with TimescaleDB; `drop_database` removes it."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with server.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template1").format(sql.Identifier(name)))
    database = Database(name, server)
    with psycopg.connect(make_conninfo(server.dsn, dbname=name), autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    return database


def drop_database(database: Database) -> None:
    """Drop it with everyone in it, and its roles."""
    with database.server.connect() as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database.name))
        )
        for role in database._roles:
            with suppress(psycopg.errors.DependentObjectsStillExist):
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def begin_run() -> None:
    """Name this run, and remove the sandboxes of runs whose process is gone."""
    if RUN in os.environ:
        return
    os.environ[RUN] = str(os.getpid())
    for each in _sandboxes_of_tests():
        number = int(each.split("-")[1])
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            sandbox.down(each)
        except PermissionError:
            pass


def end_run() -> None:
    """Remove the sandboxes of this run."""
    if os.environ.get(RUN) != str(os.getpid()):
        return
    for each in _sandboxes_of_tests():
        if each.split("-")[1] == os.environ[RUN]:
            sandbox.down(each)


def server_of(release: str) -> Server:
    """The run's server of `release`: the one that HYPERFERRY_TEST_DSN_<RELEASE> names, else a sandbox.

    The workers of one run share it: a sandbox of one name is started once, whoever asks first.
    """
    if own := os.environ.get(f"HYPERFERRY_TEST_DSN_{release.upper()}"):
        return Server(release, own, None)
    made = sandbox.up(_sandbox_name(release), release=release, fast=True)
    return Server(release, made.dsn, made.bin_dir)


def community_names() -> list[str]:
    """Servers that may have the Community edition: the one of the environment, else all of servers.toml, else none."""
    if "HYPERFERRY_TEST_DSN_COMMUNITY" in os.environ:
        return ["environment"]
    return list(listed_servers())


def community_server(name: str) -> Server | None:
    """The one of that name, or None where it has another edition."""
    if own := os.environ.get("HYPERFERRY_TEST_DSN_COMMUNITY"):
        return Server("community", own, None)
    made = sandbox.up(_sandbox_name(f"listed{community_names().index(name)}"), server=name, fast=True)
    return Server("community", made.dsn, made.bin_dir) if made.edition == "community" else None


def _sandbox_name(kind: str) -> str:
    return f"test-{os.environ[RUN]}-{kind}"


def _sandboxes_of_tests() -> list[str]:
    return [each.name for each in sandbox.status() if re.fullmatch(r"test-\d+-\w+", each.name)]
