"""Where migrations are checked: two databases, in a sandbox made for it or on a server that was named."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hyperferry import sandbox
from hyperferry.config import plain_dsn
from hyperferry.db import connect, execute
from hyperferry.db.connection import Connection
from hyperferry.errors import HyperferryError, Refused
from hyperferry.rehearsal.place import require_rights, sweep

from .options import Say

PREFIX = "hyperferry_check_"
SANDBOX = "check"
"""How the sandbox of a check begins its name; the process that made it follows."""


@dataclass
class Place:
    """The two databases of one run, by their connection strings, and the server they are on."""

    server_dsn: str
    online: str
    offline: str
    description: str
    postgres: int
    extension: bool
    release: str | None = None

    @property
    def databases(self) -> tuple[str, str]:
        """Their names."""
        online, offline = (str(conninfo_to_dict(each)["dbname"]) for each in (self.online, self.offline))
        return online, offline

    def make(self, dsn: str) -> None:
        """The database of that connection string, empty and anew."""
        name = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
        with connect(self.server_dsn, purpose="check-migrations") as conn:
            execute(conn, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            execute(conn, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        if self.extension:
            self._extend(dsn)

    def _extend(self, dsn: str) -> None:
        try:
            with connect(dsn, purpose="check-migrations") as conn:
                execute(conn, "CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public")
        except psycopg.Error as error:
            raise Refused(
                "The databases of this check cannot have the extension timescaledb.",
                facts={"server": self.description, "server said": str(error).strip().splitlines()[0]},
                remedy="name a server that has it, leave --dsn out (a sandbox is used), or give --no-extension where the "
                "project needs none, or creates it itself.",
            ) from None


@contextmanager
def place(
    given: str | None, *, release: str | None, server: str | None, extension: bool, say: Say
) -> Iterator[Place]:
    """The database for online, empty, and the name of the other; gone at the end whatever happens. Raises Refused where the
    role may not make any."""
    if given is not None:
        with _on(plain_dsn(given), "the server of --dsn", release, extension, own=False, say=say) as made:
            yield made
        return
    sweep(SANDBOX, say)
    name = f"{SANDBOX}-{os.getpid()}-{secrets.token_hex(3)}"
    up = sandbox.up(name, release=release, server=server, fast=True, say=say)
    try:
        with _on(up.dsn, f"a sandbox of {up.origin}", release, extension, own=True, say=say) as made:
            yield made
    finally:
        sandbox.down(name)


@contextmanager
def _on(
    dsn: str, description: str, release: str | None, extension: bool, *, own: bool, say: Say
) -> Iterator[Place]:
    stem = f"{PREFIX}{os.getpid()}_{secrets.token_hex(4)}"
    with connect(dsn, purpose="check-migrations") as conn:
        require_rights(conn, "--dsn", "a check makes two databases of its own there, and touches no other")
        whole = _resolved(conn, dsn)
        made = Place(
            whole,
            make_conninfo(whole, dbname=f"{stem}_online"),
            make_conninfo(whole, dbname=f"{stem}_offline"),
            f"PostgreSQL {conn.info.server_version // 10_000}, {description}",
            conn.info.server_version,
            extension,
            release,
        )
    try:
        made.make(made.online)
        yield made
    finally:
        if not own:
            _remove(made, say)


def _resolved(conn: Connection, dsn: str) -> str:
    """The connection string with what libpq's variables and files gave it, for programs that know nothing of those."""
    info = conn.info
    found = {"host": info.host, "port": str(info.port), "user": info.user, "password": info.password}
    return make_conninfo(dsn, **{name: value for name, value in found.items() if value})


def _remove(made: Place, say: Say) -> None:
    for name in made.databases:
        try:
            with connect(made.server_dsn, purpose="check-migrations") as conn:
                execute(conn, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        except (HyperferryError, psycopg.Error) as error:
            with suppress(Exception):
                say(
                    f"A database of this check could not be dropped ({str(error).splitlines()[0]}). "
                    f"On the server of --dsn: DROP DATABASE {name} WITH (FORCE);"
                )
