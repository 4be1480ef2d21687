"""The trigger functions that write the change log.

They run with the right to write the log (SECURITY DEFINER), because the application's role has none on the ledger, under a
fixed search_path, and nobody else may execute them. Each has two bodies: awake, and asleep, which does nothing. A swap
replaces one by the other: a change of the catalog is seen at once even by a transaction whose snapshot is older than the
swap, whereas a flag in a table would be read as it was (invariant I6).
"""

from __future__ import annotations

from psycopg import sql

from ..ledger.flow import Flow
from ..ledger.rights import Kind, owner_alone, schema_lock
from ..model.names import LEDGER_SCHEMA
from ..model.rollout import Direction
from ..model.statement import Statement

STEP = "capture"
EVENTS = ("insert", "update", "delete", "truncate")
BY_ROW = ("write", "moved", "truncate")
"""Of the hypertable: each row that is written leaves its pair, and one that has another pair by an UPDATE the old one too."""
IN_WORDS = {"write": "row that is written", "moved": "row that has another pair by an UPDATE"}
"""Where it is not the event's own name."""
_ASLEEP = sql.SQL("BEGIN RETURN NULL; END")
# Text forms in an image hash must not depend on the writer's settings (I1). Only tables without a key need them.
_PINNED = sql.SQL(
    " SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = '1'"
    " SET bytea_output = 'hex' SET lc_monetary = 'C' SET xmloption = 'content'"
)


def events(flow: Flow) -> tuple[str, ...]:
    """What capture of this direction has a trigger and a function for."""
    return EVENTS if flow.direction is Direction.FORWARD or flow.rollout.reverse_by_event else BY_ROW


def function_name(flow: Flow, event: str) -> sql.Identifier:
    """The function for an event of this direction: `hyperferry.forward_insert_7`."""
    return flow.of_ledger(f"{flow.direction}_{event}")


def function_names(flow: Flow) -> tuple[str, ...]:
    """All functions of this direction, without their schema."""
    return tuple(function_name(flow, event).as_string(None).rpartition(".")[2].strip('"') for event in events(flow))


def _by_statement(flow: Flow, event: str, log: sql.Identifier) -> sql.Composed:
    pairs = flow.pairs
    insert = sql.SQL("INSERT INTO {} (op, {}) ").format(log, pairs.columns())
    if event == "truncate":
        return sql.SQL("BEGIN INSERT INTO {} (op) VALUES ('T'); RETURN NULL; END").format(log)
    if event == "update":
        return sql.SQL(
            "BEGIN {} SELECT 'U', {} FROM old_rows o UNION SELECT 'U', {} FROM new_rows n; RETURN NULL; END"
        ).format(insert, pairs.of_row("o"), pairs.of_row("n"))
    rows, op = ("new_rows", "I") if event == "insert" else ("old_rows", "D")
    return sql.SQL("BEGIN {} SELECT {}, {} FROM {} r; RETURN NULL; END").format(
        insert, sql.Literal(op), pairs.of_row("r"), sql.SQL(rows)
    )


def _by_row(flow: Flow, event: str, log: sql.Identifier) -> sql.Composed:
    # PL/pgSQL compiles a function for each trigger, which is each chunk's own, and the plan of each of its expressions stays with
    # the session, which walks through all of them for every change of the catalog: 4,000 chunks and three triggers on each were
    # half a gigabyte in a session that had written to all of them, and seconds of its time when autovacuum came. So one trigger
    # is for all events, and its function has one expression, the INSERT, the simplest there is: what is returned after a row is
    # not looked at, and a variable needs no plan, which NULL does. What else an UPDATE that changes the pair needs is compiled
    # by sessions that make one.
    pairs = flow.pairs
    insert = sql.SQL("INSERT INTO {} (op, {}) ").format(log, pairs.columns())
    if event == "truncate":
        return _by_statement(flow, event, log)
    if event == "write":
        return sql.SQL("BEGIN {} VALUES (pg_catalog.left(tg_op, 1), {}); RETURN new; END").format(
            insert, pairs.of_either(sql.SQL("tg_op = 'DELETE'"), "old", "new")
        )
    if event == "moved":
        return sql.SQL("BEGIN {} SELECT 'U', {}; RETURN new; END").format(insert, pairs.of_row("old"))
    # A rollout that was begun by a hyperferry from before 2026-12.
    if event == "update":
        return sql.SQL("BEGIN {} SELECT 'U', {} UNION SELECT 'U', {}; RETURN new; END").format(
            insert, pairs.of_row("old"), pairs.of_row("new")
        )
    row, op = ("new", "I") if event == "insert" else ("old", "D")
    return sql.SQL("BEGIN {} SELECT {}, {}; RETURN {}; END").format(
        insert, sql.Literal(op), pairs.of_row(row), sql.SQL(row)
    )


def _create(flow: Flow, event: str, body: sql.Composable) -> sql.Composed:
    # The body goes in as a literal, so that no name in it can end a dollar quote.
    return sql.SQL(
        "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        "SET search_path = pg_catalog, pg_temp{pinned} AS {body}"
    ).format(
        name=function_name(flow, event),
        pinned=_PINNED if flow.pairs.by_image else sql.SQL(""),
        body=sql.Literal(body.as_string(None)),
    )


def _awake(flow: Flow, event: str, log: sql.Identifier) -> sql.Composed:
    forward = flow.direction is Direction.FORWARD
    body = _by_statement(flow, event, log) if forward else _by_row(flow, event, log)
    return _create(flow, event, body)


def wake_statements(flow: Flow, *, spare: bool = False) -> tuple[Statement, ...]:
    """Makes this direction's functions write the log, or (`spare`) its other part."""
    log = flow.spare_log if spare else flow.log
    return tuple(
        Statement(STEP, f"capture of each {IN_WORDS.get(event, event)}, {flow.direction}: awake", _awake(flow, event, log))
        for event in events(flow)
    )


def sleep_statements(flow: Flow) -> tuple[Statement, ...]:
    """Makes this direction's functions do nothing."""
    return tuple(
        Statement(STEP, f"capture of each {IN_WORDS.get(event, event)}, {flow.direction}: asleep", _create(flow, event, _ASLEEP))
        for event in events(flow)
    )


def function_statements(flow: Flow, *, awake: bool) -> tuple[Statement, ...]:
    """Creates this direction's functions, executable by nobody else."""
    made = wake_statements(flow) if awake else sleep_statements(flow)
    revoked = tuple(
        Statement(
            STEP,
            "nobody else may execute it",
            sql.SQL("REVOKE ALL ON FUNCTION {}() FROM PUBLIC").format(function_name(flow, event)),
        )
        for event in events(flow)
    )
    alone = tuple(
        owner_alone(Kind.FUNCTION, f"{function_name(flow, event).as_string(None)}()", step=STEP)
        for event in events(flow)
    )
    return made + revoked + alone


def grant_statements(flow: Flow, name: str | None = None) -> tuple[Statement, ...]:
    """The table's owner (the plan's, where no other is named) may look up and execute this direction's functions.

    TimescaleDB puts a hypertable's triggers on each new chunk in the owner's name, in the middle of the
    application's INSERT.
    """
    owner = sql.Identifier(name or flow.rollout.plan.inspection.table.owner)
    schema = sql.Identifier(LEDGER_SCHEMA)
    usage = sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, owner)
    return (
        schema_lock(STEP),
        Statement(STEP, "the owner, in whose name chunks get their triggers, may name the functions", usage),
        *(
            Statement(
                STEP,
                "and make triggers of them",
                sql.SQL("GRANT EXECUTE ON FUNCTION {}() TO {}").format(function_name(flow, event), owner),
            )
            for event in events(flow)
        ),
    )


def drop_function_statements(flow: Flow) -> tuple[Statement, ...]:
    """Drops this direction's functions; their triggers must be gone."""
    return tuple(
        Statement(
            STEP,
            "the trigger function",
            sql.SQL("DROP FUNCTION IF EXISTS {}()").format(function_name(flow, event)),
        )
        for event in events(flow)
    )
