"""A schedule's table in SQL: how it is made, what its rows are, and what a writer's rows come to."""

from __future__ import annotations

import random
from dataclasses import dataclass

import psycopg

from kit.oracle import FIXED

from .schedule import Column, Table
from .values import CLOCKS, KINDS, SPAN, TYPES

Connection = psycopg.Connection[tuple[object, ...]]

OWNER, APPLICATION = "torture_owner", "torture_app"
PARENT = "parent of it"
FIRST_OWN = 100_000
"""The first number of a row that a writer makes; those that are there at the start have lower ones."""


def ident(*names: str) -> str:
    """A qualified name."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(text: str | None) -> str:
    """A literal of no type."""
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Shape:
    """The table with what follows from it."""

    table: Table

    @property
    def name(self) -> str:
        """Its qualified name, quoted."""
        return ident(self.table.schema, self.table.name)

    @property
    def key(self) -> Column | None:
        """The key's column."""
        t = self.table
        return Column(t.key, t.key_kind, nullable=False) if t.key_form else None

    @property
    def sequenced(self) -> bool:
        """The key comes from a sequence."""
        return self.table.key_form in ("always", "by default", "serial")

    @property
    def deferrable(self) -> bool:
        """Some unique constraint can be deferred."""
        forms = {self.table.key_form, *(unique.form for unique in self.table.uniques)}
        return bool(forms & {"deferrable", "deferred"})

    @property
    def unique_columns(self) -> list[Column]:
        """Columns whose values must differ from row to row, those from a sequence apart."""
        names = {unique.column for unique in self.table.uniques}
        own = [column for column in self.table.columns if column.name in names]
        return [*([self.key] if self.key and not self.sequenced else []), *own]

    @property
    def plain_columns(self) -> list[Column]:
        """Columns that may get any value of their kind."""
        names = {unique.column for unique in self.table.uniques}
        return [c for c in self.table.columns if c.name not in names and not c.generated]

    @property
    def columns(self) -> list[str]:
        """All names, in order."""
        t = self.table
        names = [t.tag, *([t.key] if t.key_form else []), t.time, *(column.name for column in t.columns)]
        return names + ([PARENT] if t.parent else [])

    def cast(self, column: Column, text: str | None) -> str:
        """A value of the column as SQL."""
        kind = KINDS[column.kind].sql.partition(" COLLATE ")[0]
        return f"{literal(text)}::{kind}"

    def fresh(self, r: random.Random, column: Column, tag: int, n: int) -> str:
        """A value of a unique column that no other row has."""
        make = KINDS[column.kind].key
        assert make is not None
        return self.cast(column, make(r, tag, n))

    def any(self, r: random.Random, column: Column) -> str:
        """Some value of a column that need not be unique."""
        if column.nullable and r.random() < 0.15:
            return self.cast(column, None)
        return self.cast(column, KINDS[column.kind].draw(r))

    def moment(self, r: random.Random) -> str:
        """Some time."""
        clock = CLOCKS[self.table.clock]
        return f"{literal(clock.at(r.random() * SPAN))}::{clock.sql}"

    def near(self, r: random.Random) -> str:
        """SQL of another time in the same chunk."""
        clock = CLOCKS[self.table.clock]
        return clock.near.replace("{c}", ident(self.table.time)).replace("{n}", str(r.randrange(86_000)))

    def row(self, r: random.Random, tag: int, n: int) -> dict[str, str]:
        """A new row: column -> SQL. The key is left out where a sequence gives it."""
        t = self.table
        row = {t.tag: f"{tag}::smallint", t.time: self.moment(r)}
        for column in self.unique_columns:
            row[column.name] = self.fresh(r, column, tag, n)
            if column.nullable and r.random() < 0.1:
                row[column.name] = self.cast(column, None)
        for column in self.plain_columns:
            row[column.name] = self.any(r, column)
        if t.parent:
            row[PARENT] = f"{r.randrange(1, 6)}::integer"
        return row

    def insert(self, rows: list[dict[str, str]]) -> str:
        """INSERT of rows that have the same columns."""
        names = list(rows[0])
        values = ", ".join("(" + ", ".join(row[name] for name in names) + ")" for row in rows)
        return f"INSERT INTO {self.name} ({', '.join(map(ident, names))}) VALUES {values}"


def _definitions(shape: Shape) -> list[str]:
    t = shape.table
    lines = [f"{ident(t.tag)} smallint NOT NULL"]
    if t.key_form:
        kind = KINDS[t.key_kind].sql
        made = {
            "always": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            "by default": "bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
            "serial": "bigserial PRIMARY KEY",
            "deferrable": f"{kind} PRIMARY KEY DEFERRABLE",
            "deferred": f"{kind} PRIMARY KEY DEFERRABLE INITIALLY DEFERRED",
            "unique": f"{kind} NOT NULL UNIQUE",
            "with time": f"{kind} NOT NULL",
        }.get(t.key_form, f"{kind} PRIMARY KEY")
        lines.append(f"{ident(t.key)} {made}")
    lines.append(f"{ident(t.time)} {CLOCKS[t.clock].sql}" + ("" if t.time_nullable else " NOT NULL"))
    for column in t.columns:
        line = f"{ident(column.name)} {KINDS[column.kind].sql}"
        if column.generated:
            line += f" GENERATED ALWAYS AS ({ident(column.of)}::bigint * 2) {column.generated.upper()}"
        elif not column.nullable:
            line += " NOT NULL"
        lines.append(line)
    if t.parent:
        lines.append(f"{ident(PARENT)} integer REFERENCES torture.parent (id)")
    if t.key_form == "with time":
        lines.append(f"PRIMARY KEY ({ident(t.key)}, {ident(t.time)})")
    forms = {"constraint": "", "deferrable": " DEFERRABLE", "deferred": " DEFERRABLE INITIALLY DEFERRED"}
    lines += [f"UNIQUE ({ident(u.column)}){forms[u.form]}" for u in t.uniques if u.form in forms]
    return lines


def statements(shape: Shape, tags: int, seed: int) -> list[str]:
    """Everything that makes the table, its rows and what looks at it; to be run by a superuser in an empty database."""
    t, name = shape.table, shape.name
    space = " TABLESPACE torture_small" if t.small_disk else ""
    out = [TYPES, f"GRANT CREATE ON DATABASE {ident('{database}')} TO {OWNER}"]
    if any(column.kind == "citext" for column in t.columns) or t.key_kind == "citext":
        out.append("CREATE EXTENSION citext SCHEMA torture")
    out.append("CREATE TABLE torture.parent (id integer PRIMARY KEY, n integer); INSERT INTO torture.parent SELECT i, 0 FROM generate_series(1, 5) i")
    out.append("CREATE TABLE torture.mark (tag smallint PRIMARY KEY, n bigint); INSERT INTO torture.mark SELECT i, 0 FROM generate_series(1, 9) i")
    out.append(f"GRANT ALL ON torture.parent, torture.mark TO {OWNER}, {APPLICATION}")
    if t.schema != "public":
        out.append(f"CREATE SCHEMA {ident(t.schema)}")
    out.append(f"GRANT ALL ON SCHEMA {ident(t.schema)} TO {OWNER}; GRANT USAGE ON SCHEMA {ident(t.schema)} TO {APPLICATION}")
    out.append(f"CREATE TABLE {name} ({', '.join(_definitions(shape))}) WITH (fillfactor = {t.fillfactor}){space}")
    for column in t.columns:
        if column.storage:
            out.append(f"ALTER TABLE {name} ALTER {ident(column.name)} SET STORAGE {column.storage}")
    for number, unique in enumerate(t.uniques):
        column = ident(unique.column)
        index = ident(f"{'own ' * number}{unique.column}"[:40].encode()[:60].decode(errors="ignore") + "_u")
        if unique.form == "index":
            out.append(f"CREATE UNIQUE INDEX {index} ON {name} ({column})")
        elif unique.form == "partial":
            out.append(f"CREATE UNIQUE INDEX {index} ON {name} ({column}) WHERE {ident(t.tag)} > 1")
        elif unique.form == "expression":
            out.append(f"CREATE UNIQUE INDEX {index} ON {name} (lower({column}::text))")
    if t.time_index:
        # Marked for CLUSTER from the first, so that CLUSTER changes nothing of the table's definition.
        out.append(f"CREATE INDEX {ident('time of it')} ON {name} ({ident(t.time)}); ALTER TABLE {name} CLUSTER ON {ident('time of it')}")
    out.append(f"ALTER TABLE {name} OWNER TO {OWNER}; GRANT ALL ON {name} TO {APPLICATION}")
    out.append(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {ident(t.schema)} TO {APPLICATION}")
    if t.view:
        view = ident(t.schema, "view of it")
        out.append(f"CREATE VIEW {view} AS SELECT {ident(t.tag)} AS tag, count(*) AS n FROM {name} GROUP BY 1")
        out.append(f"ALTER VIEW {view} OWNER TO {OWNER}; GRANT SELECT ON {view} TO {APPLICATION}")
    out.append(digest_function(shape))
    rows = initial_rows(shape, tags, seed)
    for first in range(0, len(rows), 200):
        out.append(shape.insert(rows[first : first + 200]))
    out.append(f"ANALYZE {name}")
    return out


def initial_rows(shape: Shape, tags: int, seed: int) -> list[dict[str, str]]:
    """The rows that are there at the start, shared out among the writers."""
    r = random.Random(f"rows {seed}")
    rows = [shape.row(r, 1 + n % tags, n) for n in range(shape.table.rows)]
    return rows + rows[::2] if shape.table.doubled else rows


def row_text(shape: Shape, alias: str) -> str:
    """A row as text, under the judge's fixed settings."""
    return "ROW(" + ", ".join(ident(alias, name) for name in shape.columns) + ")::text"


def digest_function(shape: Shape) -> str:
    """torture.digest(tag): how many rows a writer has under the application's name of the table, and the sum of their hashes."""
    query = (
        f"SELECT count(*), COALESCE(sum(hashtextextended({row_text(shape, 'r')}, 0)), 0) FROM {shape.name} AS r "
        f"WHERE r.{ident(shape.table.tag)} = $1"
    )
    settings = " ".join(f"SET {name} = {value if name == 'search_path' else literal(value)}" for name, value in FIXED.items() if name != "row_security")
    body = f"BEGIN EXECUTE {literal(query)} INTO rows, hash USING tag; END"
    return f"CREATE FUNCTION torture.digest(tag smallint, OUT rows bigint, OUT hash numeric) LANGUAGE plpgsql VOLATILE {settings} AS {literal(body)}"
