"""All that the catalogs of a database say, by names: whatever a change adds, takes or alters shows as a line.

Nothing is listed by hand that could be forgotten: every column of every catalog goes in, each OID as the identity of what it refers
to (PostgreSQL knows which columns refer to which), each stored expression as its text. Left out are figures that change by themselves and
what belongs to the extension and to hyperferry's own schemas.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

FIGURES = {
    "pg_class": {
        "relfilenode", "relpages", "reltuples", "relallvisible", "relallfrozen", "relfrozenxid", "relminmxid", "reltoastrelid", "relnatts",
        "relhasindex", "relhasrules", "relhastriggers", "relhassubclass", "relchecks", "relrewrite",
    },
    "pg_attribute": {"attcacheoff", "attnum", "atthasmissing", "attmissingval"},
    "pg_attrdef": {"adnum"},
    "pg_index": {"indcheckxmin", "indnatts", "indnkeyatts"},
    "pg_enum": {"oid"},
    "pg_extension": {"extconfig", "extcondition"},
    "pg_type": {"typrelid"},
}  # fmt: skip
"""What says nothing of a definition: places, sizes, hints that are cleared late, numbers of columns (their names are there)."""

TEXTS = {
    ("pg_attrdef", "adbin"): "pg_get_expr(x.adbin, x.adrelid)",
    (
        "pg_class",
        "relacl",
    ): "ARRAY(SELECT u.a::text FROM unnest(COALESCE(x.relacl, acldefault((CASE x.relkind WHEN 'S' THEN 's' ELSE 'r' END)"
    '::"char", x.relowner))) AS u(a) ORDER BY 1)',
    ("pg_class", "relpartbound"): "pg_get_expr(x.relpartbound, x.oid)",
    ("pg_constraint", "conbin"): "pg_get_constraintdef(x.oid)",
    ("pg_index", "indexprs"): "pg_get_indexdef(x.indexrelid)",
    ("pg_index", "indpred"): "pg_get_expr(x.indpred, x.indrelid)",
    ("pg_partitioned_table", "partexprs"): "pg_get_partkeydef(x.partrelid)",
    ("pg_policy", "polqual"): "pg_get_expr(x.polqual, x.polrelid)",
    ("pg_policy", "polwithcheck"): "pg_get_expr(x.polwithcheck, x.polrelid)",
    ("pg_proc", "proargdefaults"): "pg_get_expr(x.proargdefaults, 0)",
    ("pg_proc", "prosqlbody"): "pg_get_function_sqlbody(x.oid)",
    ("pg_publication_rel", "prqual"): "pg_get_expr(x.prqual, x.prrelid)",
    ("pg_rewrite", "ev_action"): "pg_temp.rule_text(x.oid)",
    ("pg_rewrite", "ev_qual"): "NULL::text",
    ("pg_statistic_ext", "stxexprs"): "pg_get_statisticsobjdef(x.oid)",
    ("pg_trigger", "tgqual"): "pg_get_triggerdef(x.oid)",
    ("pg_type", "typdefaultbin"): "x.typdefault",
}
"""Stored expressions as text; where a whole definition is to be had, that. No privileges given is the same as the owner's own given."""

OURS = re.compile(
    r"\b(hyperferry(_(new|old)_\d+)?|_timescaledb_\w+|timescaledb_\w+|toolkit_experimental|pg_temp(_\d+)?)\."
    r"|^(schema|extension) (hyperferry|_?timescaledb|toolkit|pg_temp|pg_toast_temp)"
)
"""Identities of what is ours, the extension's or the session's."""

OWN = ("oid", "indexrelid", "attrelid", "seqrelid", "inhrelid", "objid", "objoid")
"""The columns that say what a row is about, the first that a catalog has."""

NUMBERED = re.compile(r"\b(pg_toast|(?:RI_|Unique_|PK_)?ConstraintTrigger(?:_[ac])?)_\d+")
"""Names that the server makes of OIDs."""

USERS = {
    "pg_attribute": "x.attrelid >= 16384 AND x.attnum > 0 AND NOT x.attisdropped",
    "pg_depend": "x.objid >= 16384",
    "pg_description": "x.objoid >= 16384",
    "pg_index": "x.indexrelid >= 16384",
    "pg_init_privs": "x.objoid >= 16384",
    "pg_seclabel": "x.objoid >= 16384",
}
"""What did not come with the server (whose OIDs are below 16384)."""

References = dict[tuple[str, str], tuple[str, str, bool]]
"""(catalog, column) -> (the catalog referred to; for numbers of columns the column with their relation; whether it is an array)."""


@cache
def _queries() -> dict[str, str]:
    text = Path(__file__).with_suffix(".sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def _rows(conn: Connection, query: str) -> list[tuple[Any, ...]]:
    return conn.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


def _references(conn: Connection) -> References:
    found: References = {}
    for table, columns, target, keys, many in _rows(conn, _queries()["references"]):
        if keys == ["oid"]:
            found[table, columns[0]] = (target, "", many)
        elif target == "pg_attribute":
            found[table, columns[1]] = (target, columns[0], many)
    return found


def _referred(own: str, target: str, relation: str, many: bool) -> str:
    """A reference by name."""
    if target == "pg_attribute":
        name = f'SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = x."{relation}" AND a.attnum = '
        return (
            f"ARRAY(SELECT ({name} u.n) FROM unnest({own}::int2[]) WITH ORDINALITY AS u(n, p) ORDER BY p)"
            if many
            else f"({name} {own})"
        )
    name = f"pg_temp.identify('{target}'::regclass, "
    return (
        f"ARRAY(SELECT {name} u.o) FROM unnest({own}::oid[]) WITH ORDINALITY AS u(o, p) ORDER BY p)"
        if many
        else f"{name} {own})"
    )


def _column(catalog: str, column: str, kind: str, references: References) -> str:
    """The expression that says a column in names."""
    own = f'x."{column}"'
    if (catalog, column) in TEXTS:
        return TEXTS[catalog, column]
    if kind == "pg_node_tree":
        raise AssertionError(f"no text is known for {catalog}.{column}")
    if column == "oid":
        return f"pg_temp.identify('{catalog}'::regclass, x.oid)"
    if column in ("objid", "refobjid", "objoid"):
        ends = {
            "objid": ("classid", "objsubid"),
            "refobjid": ("refclassid", "refobjsubid"),
            "objoid": ("classoid", "objsubid"),
        }
        return f"pg_temp.identify(x.{ends[column][0]}, {own}, x.{ends[column][1]})"
    if column in ("classid", "refclassid", "classoid", "objsubid", "refobjsubid"):
        return "NULL::text"
    if (catalog, column) in references:
        return _referred(own, *references[catalog, column])
    if kind == "aclitem[]" or column.endswith("options"):
        # Without what PostgreSQL 17.12 notes for itself among a column's options (pg_attver).
        return (
            f"ARRAY(SELECT u.a::text FROM unnest({own}) AS u(a) WHERE NOT starts_with(u.a::text, 'pg_attver=') ORDER BY 1)"
            if kind.endswith("[]")
            else f"{own}::text"
        )
    return f"{own}::text"


def _catalog(
    conn: Connection, catalog: str, columns: list[str], kinds: list[str], references: References
) -> Iterator[str]:
    cells = [
        f'{_column(catalog, column, kind, references)} AS "{column}"'
        for column, kind in zip(columns, kinds, strict=True)
        if column not in FIGURES.get(catalog, ())
    ]
    if catalog == "pg_attribute":
        cells.append("rank() OVER (PARTITION BY x.attrelid ORDER BY x.attnum)::text AS place")
    users = USERS.get(catalog, "x.oid >= 16384" if "oid" in columns else "true")
    query = f"SELECT jsonb_strip_nulls(to_jsonb(r)) FROM (SELECT {', '.join(cells)} FROM {catalog} AS x WHERE {users}) AS r"
    for (row,) in _rows(conn, query):
        about = str(next((row[key] for key in OWN if row.get(key)), ""))
        if not OURS.search(about.removeprefix("index of ").removeprefix("toast of ")):
            cells = [
                f"{key}={_plain(value)}"
                for key, value in sorted(row.items(), key=lambda item: (item[0] not in OWN, item[0]))
            ]
            yield NUMBERED.sub(r"\1_N", f"{catalog}: {', '.join(cells)}")


def _plain(value: Any) -> str:
    return "[" + "; ".join(map(str, value)) + "]" if isinstance(value, list) else str(value)


def everything(conn: Connection) -> Counter[str]:
    """'catalog: column=value, ...' for each row of each catalog, NULLs left out. A multiset: equal lines count."""
    queries = _queries()
    lines: Counter[str] = Counter()
    with conn.transaction():
        _rows(
            conn,
            "SELECT set_config('search_path', 'pg_catalog, pg_temp', true), set_config('row_security', 'off', true)",
        )
        for name in ("identify", "rule_text"):
            conn.execute(queries[name])  # type: ignore[call-overload]
        references = _references(conn)
        for catalog, columns, kinds in _rows(conn, queries["catalogs"]):
            lines.update(_catalog(conn, catalog, columns, kinds, references))
        for row in _rows(conn, queries["shared_dependencies"]):
            if not OURS.search(str(row[0]).removeprefix("index of ").removeprefix("toast of ")):
                lines["pg_shdepend: " + " ".join(map(str, row))] += 1
    return lines


def sequence_values(conn: Connection) -> dict[str, int | None]:
    """Where the sequences stand, by name; None: never used. Those of ours left out."""
    return {row[0]: row[1] for row in _rows(conn, _queries()["sequence_values"]) if not OURS.search(row[0])}


def differences_of(before: Counter[str], after: Counter[str]) -> list[str]:
    """'- line' for what is gone, '+ line' for what came, in order of the lines."""
    gone = [f"- {line}" for line in (before - after).elements()]
    came = [f"+ {line}" for line in (after - before).elements()]
    return sorted(gone + came, key=lambda line: line[2:])
