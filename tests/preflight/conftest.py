"""A database for all tests of one release, and a clean table `s.t` in it for each test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

import servers
from hyperferry.catalog import inspect
from hyperferry.db import connect
from hyperferry.model.finding import Finding
from hyperferry.model.inspection import Inspection
from hyperferry.model.options import PreflightOptions
from hyperferry.preflight import run
from servers import Server

CLEAN = """
    CREATE SCHEMA s;
    CREATE TABLE s.t (id bigint, ts timestamptz NOT NULL, v numeric, note text, PRIMARY KEY (id, ts));
    INSERT INTO s.t
        SELECT i, timestamptz '2024-01-01' + i * interval '1 hour', i, 'n' FROM generate_series(1, 2000) AS i;
    ANALYZE s.t;
"""


class Place:
    """A database with a clean table `s.t`; `findings` is what preflight says of it now."""

    def __init__(self, database: servers.Database) -> None:
        self.database = database
        self.release = database.release

    def execute(self, statements: str) -> None:
        """Run statements as the superuser, one message (so VACUUM and its like go alone)."""
        self.database.execute(statements)

    def inspect(
        self,
        table: str = "s.t",
        time: str = "ts",
        *,
        role: str | None = None,
        scan: bool = True,
        **options: str,
    ) -> Inspection:
        """An inspection by a session of ours, without replication slots: they are the server's, and other tests make some."""
        with connect(self.database.dsn_as(role), purpose="test") as connection:
            found = inspect(connection, table, time, scan=scan, **options)
        return replace(found, replication=replace(found.replication, slots=()))

    def findings(
        self, table: str = "s.t", time: str = "ts", *, role: str | None = None
    ) -> tuple[Finding, ...]:
        """What all rules say."""
        return run(self.inspect(table, time, role=role), PreflightOptions(long_transaction_seconds=0.2))

    def found(
        self, rule: str, table: str = "s.t", time: str = "ts", *, role: str | None = None
    ) -> list[Finding]:
        """What one rule says."""
        return [finding for finding in self.findings(table, time, role=role) if finding.rule == rule]


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[servers.Database]:
    database = servers.make_database(server)
    yield database
    servers.drop_database(database)


@pytest.fixture
def place(shared: servers.Database) -> Iterator[Place]:
    """A clean table; whatever the test adds to the database is removed after it."""
    shared.execute(CLEAN)
    yield Place(shared)
    with shared.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET client_min_messages = error")
        for kind, query in (
            ("EVENT TRIGGER", "SELECT evtname FROM pg_event_trigger WHERE evtname NOT LIKE 'timescaledb%'"),
            ("PUBLICATION", "SELECT pubname FROM pg_publication"),
            ("SCHEMA", "SELECT nspname FROM pg_namespace WHERE nspname = 's' OR nspname LIKE 'hyperferry%'"),
        ):
            for (name,) in cursor.execute(query).fetchall():
                statement = psycopg.sql.SQL("DROP {} {} CASCADE").format(
                    psycopg.sql.SQL(kind), psycopg.sql.Identifier(name)
                )
                cursor.execute(statement)


@pytest.fixture(scope="module")
def clean(shared: servers.Database) -> Inspection:
    """The inspection of a clean table, to be changed by tests of states that no server here can have."""
    shared.execute(CLEAN)
    try:
        return Place(shared).inspect()
    finally:
        shared.execute("DROP SCHEMA s CASCADE")
