"""pytest fixtures for tests against a real TimescaleDB: a disposable server, a template that is prepared once, a fresh copy
for each test.

pytest loads this by its entry point in every project where hyperferry is installed, so nothing but pytest is imported with
it. See docs/testing.md.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

DSN_VARIABLE = "HYPERFERRY_TEST_DSN"
EDITIONS = ("apache", "community")

Prepare = Callable[[str], object]


@dataclass(frozen=True)
class TimescaleServer:
    """Where the tests' databases are. `edition`: apache or community."""

    dsn: str
    edition: str
    timescaledb_version: str


def pytest_addoption(parser: pytest.Parser) -> None:
    """--timescaledb-dsn, --timescaledb-release."""
    group = parser.getgroup("hyperferry", "databases with TimescaleDB")
    group.addoption(
        "--timescaledb-dsn",
        metavar="DSN",
        help=f"Make the tests' databases on this server, instead of a disposable one (else {DSN_VARIABLE}).",
    )
    group.addoption(
        "--timescaledb-release",
        metavar="NAME",
        help="Which disposable server, as `hyperferry sandbox up --release` takes it.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line(
        "markers",
        "timescaledb_edition(name): needs this edition of TimescaleDB (apache, community); else skipped",
    )


@pytest.fixture(scope="session")
def timescaledb_server(request: pytest.FixtureRequest) -> Iterator[TimescaleServer]:
    """The server: the one that was named, else a disposable one for this run (for each worker of pytest-xdist)."""
    dsn = request.config.getoption("--timescaledb-dsn") or os.environ.get(DSN_VARIABLE)
    if dsn:
        yield _described(str(dsn))
        return
    from hyperferry import sandbox
    from hyperferry.errors import HyperferryError

    release = request.config.getoption("--timescaledb-release")
    try:
        with sandbox.server(release=release, fast=True) as server:
            yield TimescaleServer(server.dsn, server.edition, server.timescaledb_version)
    except HyperferryError as error:
        pytest.fail(f"No server with TimescaleDB could be had. {error}", pytrace=False)


@pytest.fixture(scope="session")
def timescaledb_prepare() -> Prepare | None:
    """What is done to the template, once: override it in conftest.py by a function that gets the DSN, and runs the migrations."""
    return None


@pytest.fixture(scope="session")
def timescaledb_template(
    timescaledb_server: TimescaleServer, timescaledb_prepare: Prepare | None
) -> Iterator[str]:
    """The name of the database that each test gets a copy of: with the extension, and prepared."""
    name = _new_name("template")
    with _session(timescaledb_server.dsn) as conn:
        conn.execute(f'CREATE DATABASE "{name}"')
    try:
        dsn = _of_database(timescaledb_server.dsn, name)
        with _session(dsn) as conn:
            conn.execute("SET client_min_messages = error")
            conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        if timescaledb_prepare is not None:
            timescaledb_prepare(dsn)
        with _session(timescaledb_server.dsn) as conn:
            # A database that somebody uses cannot be copied, and TimescaleDB's own workers use it as soon as it has jobs.
            conn.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            _send_away(conn, name)
        yield name
    finally:
        with _session(timescaledb_server.dsn) as conn:
            _drop(conn, name)


@pytest.fixture
def timescaledb(
    request: pytest.FixtureRequest, timescaledb_server: TimescaleServer, timescaledb_template: str
) -> Iterator[str]:
    """The DSN of a database of the test's own, a copy of the template; it goes at the end of the test."""
    for mark in request.node.iter_markers("timescaledb_edition"):
        wanted = mark.args[0] if mark.args else None
        if wanted not in EDITIONS:
            pytest.fail(f"timescaledb_edition({wanted!r}): there are {' and '.join(EDITIONS)}", pytrace=False)
        if wanted != timescaledb_server.edition:
            pytest.skip(
                f"needs the {wanted} edition; TimescaleDB {timescaledb_server.timescaledb_version} here is "
                f"{timescaledb_server.edition}"
            )
    name = _new_name("test")
    with _session(timescaledb_server.dsn) as conn:
        _copy(conn, timescaledb_template, name)
    try:
        yield _of_database(timescaledb_server.dsn, name)
    finally:
        with _session(timescaledb_server.dsn) as conn:
            _drop(conn, name)


def _described(dsn: str) -> TimescaleServer:
    name = _new_name("look")
    with _session(dsn) as conn:
        conn.execute(f'CREATE DATABASE "{name}"')
        try:
            with _session(_of_database(dsn, name)) as inside:
                inside.execute("SET client_min_messages = error")
                inside.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
                row: Any = inside.execute(
                    "SELECT extversion, current_setting('timescaledb.license', true) FROM pg_extension "
                    "WHERE extname = 'timescaledb'"
                ).fetchone()
        finally:
            _drop(conn, name)
    return TimescaleServer(dsn, "apache" if row[1] == "apache" else "community", row[0])


def _copy(conn: Any, template: str, name: str) -> None:
    import psycopg

    for attempt in range(5):
        try:
            conn.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
            return
        except psycopg.errors.ObjectInUse:
            if attempt == 4:
                raise
            _send_away(conn, template)


def _send_away(conn: Any, name: str) -> None:
    import psycopg

    with suppress(psycopg.errors.InsufficientPrivilege):
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


def _drop(conn: Any, name: str) -> None:
    conn.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _new_name(kind: str) -> str:
    return f"hyperferry_{kind}_{uuid.uuid4().hex[:12]}"


def _session(dsn: str) -> Any:
    import psycopg

    return psycopg.connect(dsn, autocommit=True, connect_timeout=10, application_name="hyperferry pytest")


def _of_database(dsn: str, name: str) -> str:
    """The DSN with another database's name; a URL stays one, as SQLAlchemy wants it."""
    from urllib.parse import urlsplit, urlunsplit

    from psycopg.conninfo import make_conninfo

    if "://" in dsn:
        return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
    return make_conninfo(dsn, dbname=name)
