"""What must be true, by SQL and files alone: nothing here asks the program what it thinks."""

from __future__ import annotations

import json

from kit.oracle import FIXED

from .program import Run
from .tables import Connection, Shape, ident, row_text

CODES = (0, 1, 3, 4)
SHAMEFUL = ("Traceback (most recent call last)", "a fault of its own", "should have seen this coming")
LISTED = 5


def fixed(conn: Connection) -> None:
    """Settings under which text is the same everywhere, for this transaction."""
    for name, value in FIXED.items():
        conn.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, value])


def sides(conn: Connection, shape: Shape) -> list[str]:
    """The table of record, and the other one where there is one, by name."""
    rows = conn.execute(
        "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = %s AND c.relkind = 'r' "
        r"AND n.nspname ~ '^hyperferry_(new|old)_\d+$' ORDER BY 1",
        [shape.table.name],
    ).fetchall()
    return [shape.name, *(ident(str(row[0]), shape.table.name) for row in rows)]


def differences(conn: Connection, shape: Shape, left: str, right: str) -> list[str]:
    """Rows that stand on one side more often than on the other, a few of each; in one snapshot."""
    found: list[str] = []
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        fixed(conn)
        for mark, one, other in (("<", left, right), (">", right, left)):
            query = (
                f'SELECT count(*) OVER (), x FROM (SELECT {row_text(shape, "r")} COLLATE "C" AS x FROM {one} AS r EXCEPT ALL '
                f'SELECT {row_text(shape, "r")} COLLATE "C" FROM {other} AS r) AS d LIMIT {LISTED}'
            )
            found += [f"{mark} ({row[0]} rows) {str(row[1])[:300]}" for row in conn.execute(query).fetchall()]  # type: ignore[call-overload]
    return found


def phase(conn: Connection) -> str:
    """Where the newest rollout stands in the ledger; '' where there is none."""
    if conn.execute("SELECT to_regclass('hyperferry.rollout')").fetchone() == (None,):
        return ""
    row = conn.execute("SELECT phase FROM hyperferry.rollout ORDER BY id DESC LIMIT 1").fetchone()
    return str(row[0]) if row else ""


LEFTOVERS = """
SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname ~ '^hyperferry_'
UNION ALL SELECT 'trigger ' || tgname || ' on ' || tgrelid::regclass FROM pg_trigger WHERE tgname ~ '^hyperferry'
UNION ALL SELECT 'function ' || p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname ~ '^hyperferry'
UNION ALL SELECT 'relation ' || c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'hyperferry' AND c.relkind IN ('r', 'S', 'v') AND c.relname ~ '_[0-9]+$'
UNION ALL SELECT 'session ' || application_name FROM pg_stat_activity
    WHERE datname = current_database() AND application_name ~ '^hyperferry'
UNION ALL SELECT 'row of ' || rollout_id || ' in hyperferry.expectation' FROM hyperferry.expectation
"""


def leftovers(conn: Connection) -> list[str]:
    """What an ended rollout has left in the database, its record apart."""
    return [str(row[0]) for row in conn.execute(LEFTOVERS).fetchall()]


def manners(run: Run) -> list[str]:
    """What a command must never do, whatever happened to it."""
    found = []
    if run.asked and run.code == -15:
        return []  # SIGTERM came before the command had begun
    if not run.killed and run.code not in CODES:
        found.append(f"exit code {run.code}")
    if run.code == 4 and not run.asked:
        found.append("exit code 4 without having been interrupted")
    shame = min((place for text in SHAMEFUL if (place := run.stderr.find(text)) >= 0), default=-1)
    if shame >= 0:
        found.append(f"said: {' '.join(run.stderr[max(0, shame - 300) :].split())[:2000]}")
    if not run.killed and "--json" in run.arguments:
        try:
            if not isinstance(json.loads(run.stdout), dict):
                found.append(f"no JSON object on stdout: {run.stdout[:200]!r}")
        except ValueError:
            found.append(f"no JSON on stdout: {run.stdout[:200]!r}")
    return [f"{' '.join(run.arguments[:1])}: {each}" for each in found]
