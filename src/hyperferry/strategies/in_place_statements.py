"""What the in-place strategy does, statement by statement, in one transaction: for the preview and for the
run.

The order is the cheapest legal one. Unique indexes without the time column make `create_hypertable` fail, so
they go before; but every other index goes too, and all are built once when the rows are in their chunks:
1,000,000 rows with a key and two indexes took 2.0 to 2.3 s so on PostgreSQL 17 (1.6 s on 18), and 4.6 to 5.0
s (4.1 to 5.6 s) with the two indexes left in place.

User triggers go as well. `migrate_data` routes each row like an INSERT: it fired BEFORE ROW triggers,
disabled ones too (a chunk gets its own, enabled), and a TRUNCATE trigger at the end; measured on TimescaleDB
2.19.3 and 2.31.0. Such a trigger could change rows, or drop them.
"""

from __future__ import annotations

from psycopg import sql

from ..copy.shadow import hypertable_statement, index_groups, key_groups
from ..db import load_queries
from ..errors import Refused
from ..model.names import TableName, quote_ident
from ..model.plan import Plan
from ..model.statement import Statement, analyze_statement, fragment

BEFORE_COMMIT = frozenset({"drop", "hypertable", "key", "index", "comment", "trigger"})
"""Steps between the two counts."""


def statements(plan: Plan) -> tuple[Statement, ...]:
    """Every statement in order: locks, the count, what is taken off, the hypertable, what is put back, the
    count, ANALYZE.

    Raises Refused for what cannot be done in place.
    """
    _check(plan)
    table = plan.table
    return (
        *lock_statements(plan),
        count_statement(table, "rows before"),
        *_take_off(plan),
        hypertable_statement(plan, table, migrate_data=True),
        *(s for _, group in key_groups(plan, table) for s in group),
        *(s for _, group in index_groups(plan, table) for s in group),
        *_put_triggers_back(plan),
        count_statement(table, "rows after: the same number, or all is rolled back"),
        Statement(
            "analyze",
            "statistics, after the commit",
            analyze_statement(sql.Identifier(table.schema, table.name), plan.inspection.server.version_num),
        ),
    )


def lock_statements(plan: Plan) -> tuple[Statement, ...]:
    """The locks: the first one may wait, the others never do (I0). The tables that are referenced are locked
    too, since each chunk gets the foreign keys of the hypertable."""
    referenced = {
        c.references for c in plan.inspection.constraints if c.kind == "f" and c.references is not None
    }
    return (
        Statement(
            "lock",
            "nobody reads or writes the table from here on until the commit",
            sql.SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE").format(
                sql.Identifier(plan.table.schema, plan.table.name)
            ),
        ),
        *(
            Statement(
                "lock",
                f"{other} is referenced by a foreign key, which every chunk gets: nobody writes it meanwhile",
                sql.SQL("LOCK TABLE ONLY {} IN SHARE ROW EXCLUSIVE MODE NOWAIT").format(
                    sql.Identifier(other.schema, other.name)
                ),
            )
            for other in sorted(referenced)
        ),
    )


def count_statement(table: TableName, comment: str) -> Statement:
    """Counts the table's rows."""
    return Statement(
        "count",
        comment,
        load_queries(__package__, "in_place.sql")["count_rows"].format(
            table=sql.Identifier(table.schema, table.name)
        ),
    )


def _check(plan: Plan) -> None:
    inspection = plan.inspection
    for key in inspection.inbound_keys:
        raise Refused(
            f"{plan.table} is referenced by a foreign key, and PostgreSQL does not empty such a table, "
            "as moving its rows into chunks would.",
            facts={"foreign key": f"{quote_ident(key.name)} of {key.table}", "definition": key.definition},
            remedy="take the strategy blue-green, or drop the foreign key first.",
        )
    for dependent in inspection.dependents:
        if "key" in dependent.via:
            raise Refused(
                f"{dependent.identity} groups by the primary key of {plan.table}, so the key cannot be "
                "widened in place.",
                facts={"depends on the key": dependent.identity},
                remedy="write out all its columns in the view's GROUP BY first.",
            )
    for trigger in inspection.triggers:
        if trigger.enabled != "O":
            raise Refused(
                f"The trigger {quote_ident(trigger.name)} is not in its ordinary state, which a "
                "hypertable's chunks do not keep: "
                "a disabled one would fire there.",
                facts={"trigger": trigger.definition, "pg_trigger.tgenabled": trigger.enabled},
                remedy="drop the trigger, or enable it in the ordinary way, before the plan.",
            )


def _take_off(plan: Plan) -> list[Statement]:
    table = sql.Identifier(plan.table.schema, plan.table.name)
    found = [
        Statement(
            "drop",
            f"the trigger {trigger.name} is put back at the end; it must not fire for rows that only move",
            sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(trigger.name), table),
        )
        for trigger in plan.inspection.triggers
    ]
    widened = {key.name for key in plan.keys if key.widened}
    for index in plan.inspection.indexes:
        name = index.constraint or index.name
        fate = "is put back widened" if name in widened else "is put back as it was"
        if not index.valid and index.constraint is None:
            fate = "is invalid and not put back"
        what = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, sql.Identifier(name))
        if index.constraint is None:
            what = sql.SQL("DROP INDEX {}").format(sql.Identifier(plan.table.schema, index.name))
        found.append(Statement("drop", f"{name} {fate} when the rows are in their chunks", what))
    return found


def _put_triggers_back(plan: Plan) -> list[Statement]:
    table = sql.Identifier(plan.table.schema, plan.table.name)
    found: list[Statement] = []
    for trigger in plan.inspection.triggers:
        found.append(
            Statement("trigger", f"the trigger {trigger.name}", sql.Composed([fragment(trigger.definition)]))
        )
        if trigger.comment is not None:
            found.append(
                Statement(
                    "comment",
                    f"the comment on the trigger {trigger.name}",
                    sql.SQL("COMMENT ON TRIGGER {} ON {} IS {}").format(
                        sql.Identifier(trigger.name), table, sql.Literal(trigger.comment)
                    ),
                )
            )
    return found
