"""Where the demo happens: a sandbox made for it, or a database made for it on a server that was named."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import make_conninfo

from hyperferry import sandbox
from hyperferry.config import plain_dsn
from hyperferry.db import connect, execute, fetch_one, fetch_value
from hyperferry.db.connection import Connection, without_password

from .options import DemoOptions, Say

KEPT = "demo"
"""How the sandbox of `demo --keep` begins its name."""


@dataclass(frozen=True)
class Place:
    """A database of this run. `dsn` connects the operator, `application_dsn` the application's own role."""

    dsn: str
    application_dsn: str
    database: str
    role: str
    password: str
    postgres_version: str
    timescaledb_version: str
    edition: str
    description: str
    kept: str


@contextmanager
def place(options: DemoOptions, say: Say) -> Iterator[Place]:
    """A database for this run, gone at its end unless it is to be kept."""
    if options.dsn is not None:
        with _database(plain_dsn(options.dsn), options, "the server of --dsn", None) as made:
            yield made
        return
    name = f"{KEPT}-{secrets.token_hex(3)}"
    with (
        sandbox.server(name, release=options.release, keep=options.keep, say=say) as server,
        # It goes as a whole, so nothing in it needs to be taken down first.
        _database(server.dsn, options, f"a sandbox of its own, {name}", server.data_dir) as made,
    ):
        yield made


@contextmanager
def _database(dsn: str, options: DemoOptions, description: str, data_dir: Path | None) -> Iterator[Place]:
    mark = secrets.token_hex(4)
    database, role, password = f"hyperferry_demo_{mark}", f"stats_app_{mark}", secrets.token_urlsafe(18)
    with connect(dsn, purpose="demo") as conn:
        execute(conn, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    own = make_conninfo(dsn, dbname=database)
    try:
        with connect(own, purpose="demo") as conn:
            versions = _versions(conn)
        shown = without_password(own)
        yield Place(
            dsn=own,
            application_dsn=make_conninfo(own, user=role, password=password, application_name="stats_app"),
            database=database,
            role=role,
            password=password,
            postgres_version=versions[0],
            timescaledb_version=versions[1],
            edition=versions[2],
            description=description,
            kept=f"hyperferry status --dsn '{shown}'",
        )
    finally:
        if not options.keep and data_dir is None:
            with connect(dsn, purpose="demo") as conn:
                execute(conn, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
                execute(conn, sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def _versions(conn: Connection) -> tuple[str, str, str]:
    execute(conn, "CREATE EXTENSION IF NOT EXISTS timescaledb")
    found = fetch_one(
        conn,
        "SELECT current_setting('server_version'), extversion FROM pg_extension WHERE extname = "
        "'timescaledb'",
    )
    assert found is not None
    edition = "apache" if fetch_value(conn, "SHOW timescaledb.license") == "apache" else "community"
    return str(found[0]).split()[0], str(found[1]), edition
