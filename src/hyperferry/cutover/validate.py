"""After a swap: the foreign keys that it made NOT VALID are validated."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import sql

from ..db import cancel_autovacuum, execute, fetch_all, hold_chunks, yield_and_retry
from ..db.connection import Connection
from ..ledger.flow import Flow
from ..model.names import TableName
from ..model.rollout import Direction
from . import hanging, inbound
from .gone import gone_publications


def _expected(flow: Flow) -> list[tuple[TableName, str, list[TableName]]]:
    """The foreign keys that were valid before: table, name, and the tables that validating locks. `flow` is the one in which
    the table of record is active now."""
    inspection = flow.rollout.plan.inspection
    own = [
        (flow.active.name, key.name, [key.references] if key.references else [])
        for key in hanging.foreign_keys(inspection)
        if key.validated
    ]
    plain = flow.direction is Direction.FORWARD
    keys = inspection.inbound_keys if plain else inbound.kept_keys(flow)
    return own + [(key.table, key.name, [flow.active.name]) for key in keys if key.validated]


def _is_pending(conn: Connection, table: TableName, name: str) -> bool:
    return bool(
        fetch_all(
            conn,
            "SELECT 1 FROM pg_catalog.pg_constraint WHERE conrelid = pg_catalog.to_regclass(%s) AND conname = %s "
            "AND contype = 'f' AND NOT convalidated",
            [table.quoted, name],
        )
    )


def to_validate(conn: Connection, flow: Flow) -> list[tuple[TableName, str]]:
    """The foreign keys, by their table and name, that were valid before the swap and are not now. `flow` as for
    `validate_foreign_keys`."""
    return [(table, name) for table, name, _ in _expected(flow) if _is_pending(conn, table, name)]


def validate_statement(table: TableName, name: str) -> sql.Composed:
    """What validates the foreign key of that name."""
    return sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(hanging.ident(table), sql.Identifier(name))


def validate_foreign_keys(
    conn: Connection, flow: Flow, *, say: Callable[[str], None], should_stop: Callable[[], None]
) -> None:
    """Validates the foreign keys that the swap made NOT VALID, each in a transaction of its own. Those that were NOT VALID
    before stay so.

    Takes SHARE UPDATE EXCLUSIVE on the key's table (and a hypertable's chunks), which stops no writer but one that needs a new
    chunk. A key that rows violate by now stays NOT VALID
    (it holds for every new row), and that is said.
    """
    if flow.direction is Direction.FORWARD:
        gone = gone_publications(conn, flow)
        for member in flow.rollout.plan.inspection.replication.memberships:
            if member.name in gone:
                continue
            say(
                f"the publication {member.name} publishes {flow.active.name} again; what was written since the cutover its "
                "subscribers never received: copy the table anew there"
            )
    for table, name, others in _expected(flow):
        if not _is_pending(conn, table, name):
            continue
        should_stop()
        statement = validate_statement(table, name)
        on_chunks = flow.active.hypertable and table == flow.active.name
        if on_chunks:
            say(f"validating {name}: every row is looked at, and whoever needs a new chunk meanwhile waits for it")

        def work(table: TableName = table, on_chunks: bool = on_chunks, statement: sql.Composed = statement) -> None:
            cancel_autovacuum(conn, table, chunks=not on_chunks)
            with conn.transaction():
                if on_chunks:
                    # A worker that is cancelled goes on with the next chunk: taken one by one they are never all free. Before
                    # the hypertable's own lock, which whoever makes a chunk waits for.
                    hold_chunks(conn, flow.active.oid)
                    execute(conn, "SET LOCAL lock_timeout = '1ms'")
                execute(
                    conn,
                    sql.SQL("LOCK TABLE ONLY {} IN SHARE UPDATE EXCLUSIVE MODE").format(hanging.ident(table)),
                )
                execute(conn, "SET LOCAL lock_timeout = '1ms'")  # the other table: no further lock is waited for
                execute(conn, statement)

        try:
            yield_and_retry(conn, f"validate {name}", [table, *others], work, chunks=on_chunks, should_stop=should_stop)
        except psycopg.errors.ForeignKeyViolation as error:
            say(
                f"foreign key {name} of {table} is back, but stays NOT VALID, because rows violate it: "
                f"{error.diag.message_detail or error.diag.message_primary}. It holds for every new row; mend those rows, then: "
                f"{statement.as_string(None)};"
            )
        except psycopg.errors.FeatureNotSupported as error:
            # A hypertable with compression refuses it (2.19). The rows that are there were checked by the key that they had.
            say(
                f"foreign key {name} of {table} is back, but stays NOT VALID: {error.diag.message_primary}. It holds for every "
                "new row."
            )
        else:
            say(f"foreign key {name} validated")
