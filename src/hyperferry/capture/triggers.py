"""Puts capture on a table.

Forward: statement triggers with transition tables on the plain table, ENABLE ALWAYS, created under SHARE ROW
EXCLUSIVE, so that every
writer that began before them has ended (I1). Reverse: row triggers and a TRUNCATE trigger on the hypertable,
which can keep neither ALWAYS
nor, on all versions, transition tables (I7); created while nobody but us uses it, asleep.
"""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql

from ..db import (
    Blocker,
    LockMode,
    cancel_autovacuum,
    execute,
    fetch_value,
    not_held_by_the_gone,
    yield_and_retry,
)
from ..db.connection import Connection
from ..ledger.flow import Flow, Side
from ..ledger.transaction import expect, lock_statement
from ..model.rollout import Direction
from ..model.statement import Statement
from .functions import IN_WORDS, STEP, events, function_name, function_statements, grant_statements

_TRANSITIONS = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "REFERENCING OLD TABLE AS old_rows",
    "truncate": "",
}


_FIRED_BY = {"write": "INSERT OR UPDATE OR DELETE", "moved": "UPDATE"}
"""Where it is not the event's own name."""


def trigger_name(flow: Flow, event: str) -> str:
    """The trigger for an event of this direction, the same on every table."""
    return f"hyperferry_{flow.direction}_{event}"


def trigger_names(flow: Flow) -> tuple[str, ...]:
    """All triggers of this direction."""
    return tuple(trigger_name(flow, event) for event in events(flow))


def trigger_statements(flow: Flow, side: Side) -> tuple[Statement, ...]:
    """CREATE TRIGGER for each event on the table of record of this direction."""
    out: list[Statement] = []
    by_statement = flow.direction is Direction.FORWARD
    for event in events(flow):
        name = sql.Identifier(trigger_name(flow, event))
        level = "STATEMENT" if by_statement or event == "truncate" else "ROW"
        out.append(
            Statement(
                STEP,
                f"each {IN_WORDS.get(event, event)} on {side.name} leaves its pairs in the change log",
                sql.SQL(
                    "CREATE TRIGGER {name} {when} {event} ON {table} {transition} FOR EACH {level}{only} "
                    "EXECUTE FUNCTION {function}()"
                ).format(
                    name=name,
                    # Before: what a user's trigger writes AFTER it, by whatever name, has its pairs behind the truncation.
                    when=sql.SQL("BEFORE" if event == "truncate" else "AFTER"),
                    event=sql.SQL(_FIRED_BY.get(event, event.upper())),
                    table=side.ident,
                    transition=sql.SQL(_TRANSITIONS[event] if by_statement else ""),
                    level=sql.SQL(level),
                    only=sql.SQL(" WHEN ({})").format(flow.pairs.moved("old", "new")) if event == "moved" else sql.SQL(""),
                    function=function_name(flow, event),
                ),
            )
        )
        if by_statement:
            out.append(
                Statement(
                    STEP,
                    "whatever session_replication_role says",
                    sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(side.ident, name),
                )
            )
    return tuple(out)


def drop_trigger_statements(flow: Flow, side: Side) -> tuple[Statement, ...]:
    """DROP TRIGGER for each event of this direction."""
    return tuple(
        Statement(
            STEP,
            f"capture on {side.name} ends",
            sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(
                sql.Identifier(trigger_name(flow, event)), side.ident
            ),
        )
        for event in events(flow)
    )


def install_forward(
    conn: Connection,
    flow: Flow,
    record: Callable[[], None],
    *,
    attempts: int = 60,
    should_stop: Callable[[], None] = lambda: None,
    on_failure: Callable[[int, list[Blocker]], None] = lambda attempt, blockers: None,
) -> None:
    """Creates forward capture on the source and has `record` note it, in one transaction.

    The lock waits for every writer that began before (I1), a bounded number of times, and yields in between. Raises
    LockUnavailable naming the blockers.
    """
    side = flow.active
    with conn.transaction():
        for statement in function_statements(flow, awake=True):
            execute(conn, statement.sql)

    def work() -> None:
        cancel_autovacuum(conn, side.name)
        with conn.transaction():
            not_held_by_the_gone(conn)
            execute(conn, lock_statement(side, LockMode.SHARE_ROW_EXCLUSIVE))
            execute(conn, "SET LOCAL lock_timeout = '1ms'")  # what is looked at below is not waited for
            for statement in trigger_statements(flow, side):
                execute(conn, statement.sql)
            expect(conn, flow.rollout.id, side)
            record()

    yield_and_retry(
        conn,
        f"start capturing writes on {side.name}",
        [side.name],
        work,
        attempts=attempts,
        should_stop=should_stop,
        on_failure=on_failure,
    )


def install_reverse(conn: Connection, reverse: Flow, shadow: Side) -> None:
    """Creates reverse capture, asleep, on the shadow, in the caller's transaction. Idempotent.

    `reverse` is the reverse flow as it will be after the cutover; `shadow` is the hypertable under its present name.
    """
    statements = (
        *function_statements(reverse, awake=False),
        *grant_statements(reverse),
        *drop_trigger_statements(reverse, shadow),
        *trigger_statements(reverse, shadow),
    )
    for statement in statements:
        execute(conn, statement.sql)
    expect(conn, reverse.rollout.id, shadow)


def follow_owner(conn: Connection, reverse: Flow) -> str | None:
    """Lets the hypertable's owner of now name and execute the reverse functions; gives that role where it could not.

    A new chunk gets its triggers in the owner's name: after ALTER TABLE ... OWNER TO, whoever inserts into one is refused
    until then.
    """
    owner = fetch_value(
        conn,
        "SELECT pg_get_userbyid(c.relowner)::text FROM pg_class c WHERE c.oid = %(oid)s AND NOT ("
        "has_schema_privilege(c.relowner, 'hyperferry', 'USAGE') "
        "AND has_function_privilege(c.relowner, %(function)s, 'EXECUTE'))",
        {"oid": reverse.active.oid, "function": f"{function_name(reverse, events(reverse)[0]).as_string(None)}()"},
    )
    if owner is not None:
        with conn.transaction():
            execute(conn, "SET LOCAL lock_timeout = '60s'")  # nothing that anybody could want is held meanwhile
            for statement in grant_statements(reverse, owner):
                execute(conn, statement.sql)
    return None if owner is None else str(owner)
