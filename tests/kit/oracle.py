"""The judge: what is equal, by PostgreSQL alone. Nothing here knows how hyperferry compares."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from .tables import Table

Connection = psycopg.Connection[tuple[Any, ...]]

FIXED = {
    "search_path": "pg_catalog, pg_temp",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    "row_security": "off",
}
"""What a value's text depends on."""

LISTED = 10


def _fixed(conn: Connection) -> None:
    for name, value in FIXED.items():
        conn.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, value])


def _rows(table: sql.Composable, columns: Sequence[str]) -> sql.Composed:
    """Each row as the text of ROW(columns)."""
    return sql.SQL("SELECT ROW({})::text COLLATE {} AS row FROM {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier("C"), table
    )


def differences(
    conn: Connection,
    left: sql.Composable,
    right: sql.Composable,
    columns: Sequence[str],
    *,
    listed: int = LISTED,
) -> list[str]:
    """What stands on one side more often than on the other, as '< row' (left alone) and '> row', at most
    `listed` of each.

    Both sides are read at one snapshot. Empty: the same multiset of rows. One column's text in
    `ROW(...)::text` is quoted, so that two different rows never look the same, NULL and '' included.
    """
    found: list[str] = []
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        _fixed(conn)
        for mark, one, other in (("<", left, right), (">", right, left)):
            query = sql.SQL("({} EXCEPT ALL {}) ORDER BY 1 LIMIT {}").format(
                _rows(one, columns), _rows(other, columns), sql.Literal(listed)
            )
            found += [f"{mark} {row[0]}" for row in conn.execute(query).fetchall()]
    return found


def assert_same_rows(
    conn: Connection, left: sql.Composable, right: sql.Composable, columns: Sequence[str]
) -> None:
    """Fails with the rows that stand on one side alone."""
    found = differences(conn, left, right, columns)
    assert not found, f"{left.as_string(conn)} < > {right.as_string(conn)}:\n" + "\n".join(found)


def assert_rows_are(
    conn: Connection, table: Table, expected: dict[int, tuple[Any, ...]], columns: Sequence[str]
) -> None:
    """The table holds exactly the rows that a client expects by key; `columns` begins with the key.

    Fails with lost, unexpected and different rows, ten of each.
    """
    found = {
        row[0]: tuple(row)
        for row in conn.execute(
            sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(map(sql.Identifier, columns)), table.ident)
        )
    }
    lost = sorted(expected.keys() - found.keys())
    unexpected = sorted(found.keys() - expected.keys())
    different = sorted(key for key in expected.keys() & found.keys() if expected[key] != found[key])
    assert not lost, f"{len(lost)} committed rows are lost: {[expected[k] for k in lost[:LISTED]]}"
    assert not unexpected, f"{len(unexpected)} rows came back: {[found[k] for k in unexpected[:LISTED]]}"
    assert not different, (
        f"{len(different)} rows are not as committed: {[(expected[k], found[k]) for k in different[:LISTED]]}"
    )


@cache
def _queries() -> dict[str, str]:
    text = Path(__file__).with_name("oracle.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def describe(conn: Connection, table: Table) -> dict[str, list[tuple[Any, ...]]]:
    """Everything the catalogs say of a table under its present name, by kind: columns, constraints, indexes,
    triggers, grants, views, owner, comments and so on. Without OIDs and sizes, so that it can be compared
    with itself later."""
    with conn.transaction():
        _fixed(conn)
        return {
            name: conn.execute(sql.SQL(text), {"table": table.quoted}).fetchall()
            for name, text in _queries().items()
        }


_VOLATILE = re.compile(
    r"^(--.*|\\(un)?restrict .*|SET (default_table_access_method|default_tablespace|transaction_timeout).*|)$"
)


def schema_dump(
    dsn: str, pg_dump: str | Path, *, ledger: Sequence[str] = ("hyperferry", "hyperferry_*")
) -> str:
    """`pg_dump --schema-only` without the ledger's schemas and without what changes from run to run
    (comments, versions, the tokens of \\restrict). `pg_dump` must not be older than the server.
    TimescaleDB's own catalog tables are left out as well."""
    exclude = [*ledger, "_timescaledb_*"]
    done = subprocess.run(
        [str(pg_dump), "--schema-only", f"--dbname={dsn}", *(f"--exclude-schema={name}" for name in exclude)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return "\n".join(line for line in done.stdout.splitlines() if not _VOLATILE.match(line))
