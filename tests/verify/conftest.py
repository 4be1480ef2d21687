"""A rollout ready to be verified: shadow, ledger, capture, and the rows copied by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, LiteralString, cast

import pytest
from psycopg import sql

from hyperferry.apply import Applier
from hyperferry.capture import install_forward
from hyperferry.catalog import inspect
from hyperferry.copy import shadow
from hyperferry.db import connect, execute, fetch_all
from hyperferry.db.connection import Connection
from hyperferry.ledger import objects, store
from hyperferry.ledger.flow import Flow, flow_of
from hyperferry.ledger.transaction import expect
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.report import VerifyReport
from hyperferry.planner import plan
from hyperferry.verify import verify
from kit.tables import Table
from servers import Database


@dataclass
class Lab:
    """A table with its rollout. `run` speaks as the application, `conn` is a session of ours."""

    db: Database
    table: Table
    conn: Connection
    flow: Flow
    said: list[str] = field(default_factory=list)

    def run(self, text: str, *params: Any) -> list[tuple[Any, ...]]:
        """Statements of the application; `{source}`, `{shadow}`, `{log}`, `{excused}` are the tables."""
        query = sql.SQL(cast("LiteralString", text)).format(
            source=self.flow.active.ident,
            shadow=self.flow.passive.ident,
            log=self.flow.log,
            excused=self.flow.of_ledger("excused"),
            quarantine=self.flow.of_ledger("quarantine"),
        )
        with self.db.connect() as conn:
            done = conn.execute(query, params or None)
            return done.fetchall() if done.description else []

    def apply(self) -> None:
        """Applies the backlog."""
        Applier(self.conn, self.flow).drain(pending_batches=False)

    def apply_excused(self, started: datetime) -> None:
        """Applies the changes of excused pairs."""
        Applier(self.conn, self.flow).apply_excused(started)

    def verify(self, **options: Any) -> VerifyReport:
        """Verifies with small ranges."""
        options.setdefault("range_rows", max(300, self.table.rows // 6))
        return verify(
            lambda: connect(self.db.dsn, purpose="verify"),
            self.flow,
            stop=options.pop("stop", lambda: None),
            say=options.pop("say", self.said.append),
            **options,
        )

    def recorded(self) -> list[tuple[Any, ...]]:
        """match, source rows, target rows, epoch of each recorded verification."""
        return fetch_all(
            self.conn,
            "SELECT match, source_rows, target_rows, epoch FROM hyperferry.verification ORDER BY id",
        )


def make_lab(db: Database, table: Table) -> Lab:
    """Plans the table, builds the shadow and the ledger, captures, and copies."""
    conn = connect(db.dsn, purpose="test")
    store.install(conn)
    inspection = inspect(conn, table.quoted, table.time, scan=False)
    integer = inspection.time is not None and inspection.time.base_type == "pg_catalog.int8"
    made = plan(inspection, (), PlanOptions(chunk_interval="300" if integer else "14 days"))
    rollout = store.create(conn, made)
    names = rollout.names
    for statement in shadow.shadow_statements(made, names):
        execute(conn, statement.sql)
    oid = fetch_all(conn, "SELECT to_regclass(%s)::oid::bigint", [names.shadow.quoted])[0][0]
    rollout = store.set_hypertable(conn, rollout, oid)
    flow = flow_of(rollout)
    for statement in objects.create_statements(flow):
        execute(conn, statement.sql)
    expect(conn, rollout.id, flow.passive)
    install_forward(conn, flow, lambda: None)
    columns = sql.SQL(", ").join(sql.Identifier(c.name) for c in made.inspection.writable_columns)
    execute(
        conn,
        sql.SQL("INSERT INTO {} ({c}) OVERRIDING SYSTEM VALUE SELECT {c} FROM {}").format(
            flow.passive.ident, flow.active.ident, c=columns
        ),
    )
    for step in (shadow.key_statements, shadow.index_statements):
        for statement in step(made, names):
            execute(conn, statement.sql)
    return Lab(db, table, conn, flow)


@pytest.fixture
def lab(db: Database) -> Iterator[Callable[[Callable[..., Table | None]], Lab]]:
    """`lab(tables.player_stats)`: the table of that builder with a rollout on it."""
    labs: list[Lab] = []

    def make(builder: Callable[..., Table | None], **options: Any) -> Lab:
        with db.connect() as conn:
            table = builder(conn, **options)
        if table is None:
            pytest.skip("this server cannot make that table")
        labs.append(make_lab(db, table))
        return labs[-1]

    yield make
    for one in labs:
        one.conn.close()
