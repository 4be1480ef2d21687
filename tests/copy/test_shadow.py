"""The shadow is the source in all but what a hypertable asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import sql

from hyperferry.catalog import inspect
from hyperferry.copy.shadow import index_statements, key_statements, shadow_statements
from hyperferry.db import connect, execute
from hyperferry.db.connection import Connection
from hyperferry.model.inspection import Inspection
from hyperferry.model.names import Names, TableName
from hyperferry.model.plan import Plan
from hyperferry.planner import plan
from servers import Database

RICH = TableName("Ligue 1", "stats (live)")
TIME = "when (UTC)"


def make_rich_table(db: Database) -> tuple[str, str]:
    """The table of rich_table.sql; returns its owner and its reader."""
    owner, reader = db.make_role("owner"), db.make_role("reader")
    text = Path(__file__).with_name("rich_table.sql").read_text(encoding="utf-8")
    with db.connect() as conn:
        # Both roles get rights that default privileges would give to every new table: the shadow must not
        # have them.
        conn.execute(text.replace(":owner", f'"{owner}"').replace(":reader", f'"{reader}"'))
        conn.execute(
            sql.SQL("ALTER DEFAULT PRIVILEGES GRANT DELETE ON TABLES TO {}").format(sql.Identifier(reader))
        )
        conn.execute(sql.SQL("ALTER DEFAULT PRIVILEGES GRANT UPDATE ON SEQUENCES TO PUBLIC"))
    return owner, reader


def build(conn: Connection, made: Plan, names: Names) -> None:
    """Everything in the order of a rollout, without rows."""
    for statements in (shadow_statements, key_statements, index_statements):
        for statement in statements(made, names):
            execute(conn, statement.sql)


def plan_of(conn: Connection, table: TableName, time: str) -> Plan:
    return plan(inspect(conn, table.quoted, time), ())


def described(inspection: Inspection, time_column: str) -> dict[str, object]:
    """All that the catalogs say of a table, without identifiers, sizes and the schema it stands in."""
    schema, owner = inspection.table.name.schema, inspection.table.owner

    def moved(text: str | None) -> str | None:
        for spelled in (f'"{schema}".', f"{schema}."):
            text = text.replace(f" ON {spelled}", " ON ") if text else text
            text = (
                text.replace(f"STATISTICS {spelled}", "STATISTICS ").replace(f"FROM {spelled}", "FROM ")
                if text
                else text
            )
        return text

    table = replace(
        inspection.table,
        name=TableName("", inspection.table.name.name),
        oid=0,
        kind="",
        total_bytes=0,
        heap_bytes=0,
        index_bytes=0,
        estimated_rows=0,
        grants=(),
    )
    return {
        "table": table,
        "grants": set(inspection.table.grants),
        "columns": [replace(c, number=n) for n, c in enumerate(inspection.columns)],
        "indexes": [
            replace(i, oid=0, bytes=0, definition=moved(i.definition) or "") for i in inspection.indexes
        ],
        "constraints": [c for c in inspection.constraints if (c.kind, c.columns) != ("n", (time_column,))],
        "policies": inspection.policies,
        # The owner's own rights may be written out or not: the same rights.
        "sequences": {
            (
                replace(
                    s,
                    name=TableName("", s.name.name),
                    oid=0,
                    grants=tuple(g for g in s.grants if g.grantee != owner),
                )
            )
            for s in inspection.sequences
            if s.identity
        },
        "statistics": [
            (s.name.name, moved(s.definition), s.target, s.comment) for s in inspection.extended_statistics
        ],
    }


@pytest.mark.parametrize("as_owner", [False, True], ids=["superuser", "owner"])
def test_the_shadow_of_a_rich_table_is_the_table(db: Database, as_owner: bool) -> None:
    owner, _ = make_rich_table(db)
    db.execute(
        f'GRANT CREATE ON DATABASE "{db.name}" TO "{owner}"; GRANT USAGE ON SCHEMA "Ligue 1" TO "{owner}"'
    )
    names = Names(4, RICH)
    with connect(db.dsn_as(owner) if as_owner else db.dsn) as conn:
        made = (
            plan_of(conn, RICH, TIME)
            if not as_owner
            else plan(inspect(conn, RICH.quoted, TIME, scan=False), ())
        )
        build(conn, made, names)
        source = described(inspect(conn, RICH.quoted, TIME, scan=False), TIME)
        shadow = described(inspect(conn, names.shadow.quoted, TIME, scan=False), TIME)
    widened = {key.name for key in made.keys if key.widened}
    assert widened == {"pk (id)", "uq, deferrable", "one (slug)", "nnd"}
    for part in ("table", "grants", "columns", "policies", "sequences", "statistics"):
        assert shadow[part] == source[part], part
    for part in ("indexes", "constraints"):
        before = {thing.name: thing for thing in source[part]}  # type: ignore[attr-defined]
        after = {thing.name: thing for thing in shadow[part]}  # type: ignore[attr-defined]
        assert before.keys() == after.keys()
        for name in before:
            if name not in widened:
                assert after[name] == before[name]
