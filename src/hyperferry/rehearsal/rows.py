"""Made-up rows that a table takes. Nothing of the user's data is in them but the range of the times."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from hyperferry import catalog
from hyperferry.catalog.records import records
from hyperferry.db import execute, fetch_all, fetch_value, load_queries
from hyperferry.db.connection import Connection
from hyperferry.model.inspection import Column, Inspection
from hyperferry.model.names import TableName
from hyperferry.model.statement import fragment

FILE = "rows.sql"
TRIES = 40
"""How many rows are tried before it is given up."""

DEEPEST = 4
"""How far parents of parents are given rows."""


@dataclass(frozen=True)
class Recipe:
    """How rows are made: the columns that are named, and an SQL expression for each, of the row's number `i`."""

    table: TableName
    columns: tuple[str, ...]
    values: tuple[sql.Composable, ...]

    def insert(self, first: int, count: int) -> sql.Composed:
        """INSERT of the rows numbered from `first` (of one row, where no column is named)."""
        if not self.columns:
            return sql.SQL("INSERT INTO {} DEFAULT VALUES").format(
                sql.Identifier(self.table.schema, self.table.name)
            )
        return sql.SQL(
            "INSERT INTO {table} ({columns}) SELECT {values} FROM pg_catalog.generate_series({first}, {last}) AS i"
        ).format(
            table=sql.Identifier(self.table.schema, self.table.name),
            columns=sql.SQL(", ").join(map(sql.Identifier, self.columns)),
            values=sql.SQL(", ").join(self.values),
            first=sql.Literal(first),
            last=sql.Literal(first + count - 1),
        )


@dataclass(frozen=True)
class Times:
    """Which times the rows have: `latest` (text; None: today) and back from there by `width` (microseconds, or units of the
    integer column), over `chunks` chunks."""

    latest: str | None
    width: int
    chunks: int


def find_recipe(conn: Connection, inspection: Inspection, times: Times) -> tuple[Recipe | None, int, str]:
    """A recipe that the table takes, how many rows of it it takes at once (one for each chunk, else one), and the
    last refusal.

    Rows are given to its foreign keys' parents; none is left in the table itself.
    """
    time = inspection.time
    moment = None if time is None else _moment(time, times, fetch_value(conn, _query("uuid_maker")))
    if time is None or moment is None:
        return None, 0, "no time could be made up for it"
    search = _Search(conn, inspection, {time.name: moment}, 0)
    for count in (max(times.chunks, 2), 1):
        for recipe in search.recipes():
            try:
                with conn.transaction(force_rollback=True):
                    execute(conn, recipe.insert(0, count))
                    execute(conn, "SET CONSTRAINTS ALL IMMEDIATE")
                return recipe, count, ""
            except psycopg.Error as error:
                search.refused(error)
    return None, 0, search.refusal


def said(error: psycopg.Error) -> str:
    """What the server said, with the function in which it said it."""
    where = (error.diag.context or "").splitlines()
    return (error.diag.message_primary or str(error)) + (f" ({where[0]})" if where else "")


class _Search:
    """A search for a recipe: each refusal changes the values of the columns that it is about."""

    def __init__(
        self, conn: Connection, inspection: Inspection, fixed: dict[str, sql.Composable], depth: int
    ) -> None:
        oid = {"oid": inspection.table.oid}
        self.table = inspection.table.name
        self.columns = [each for each in inspection.writable_columns if each.identity == ""]
        self.given = {**_parents(conn, inspection, depth), **fixed}
        self.keys = {name for row in records(conn, _query("foreign_keys"), oid) for name in row["columns"]}
        self.checks: defaultdict[str, list[str]] = defaultdict(list)
        self.of_check: defaultdict[str, set[str]] = defaultdict(set)
        for column, constraint, definition in fetch_all(conn, _query("checks"), oid):
            self.checks[column].append(definition)
            self.of_check[constraint].add(column)
        self.variants: defaultdict[str, int] = defaultdict(int)
        self.refusal = ""
        self._about: set[str] = set()

    def recipes(self) -> Iterator[Recipe]:
        """Recipes to try, those with a value for every column first. After each that is refused, `refused` is to be told."""
        for full in (True, False):
            self.variants.clear()
            for _ in range(TRIES):
                yield self._recipe(full)
                for name in self._about or {column.name for column in self.columns}:
                    self.variants[name] += 1

    def refused(self, error: psycopg.Error) -> None:
        """Learns from the refusal which columns it is about: those of the check, or all."""
        self.refusal = said(error)
        self._about = set(self.of_check.get(error.diag.constraint_name or "", ()))

    def _recipe(self, full: bool) -> Recipe:
        values: dict[str, sql.Composable] = {}
        for column in self.columns:
            given = self.given.get(column.name)
            if given is not None:
                values[column.name] = given
            elif column.default is None and (full or column.not_null) and column.name not in self.keys:
                values[column.name] = _value(column, self.checks[column.name], self.variants[column.name])
        return Recipe(self.table, tuple(values), tuple(values.values()))


def _parents(conn: Connection, inspection: Inspection, depth: int) -> dict[str, sql.Composable]:
    """For each column of a foreign key the value that a row of the parent has, the parent given a row where it had none."""
    found: dict[str, sql.Composable] = {}
    for key in records(conn, _query("foreign_keys"), {"oid": inspection.table.oid}):
        parent = TableName(key["schema"], key["table"])
        if key["parent"] == inspection.table.oid or depth >= DEEPEST or not _has_row(conn, parent, depth):
            continue
        for name, referenced in zip(key["columns"], key["referenced"], strict=True):
            found.setdefault(
                name,
                sql.SQL("(SELECT p.{} FROM {} AS p ORDER BY p.ctid LIMIT 1)").format(
                    sql.Identifier(referenced), sql.Identifier(parent.schema, parent.name)
                ),
            )
    return found


def _has_row(conn: Connection, table: TableName, depth: int) -> bool:
    ident = sql.Identifier(table.schema, table.name)
    try:
        if fetch_value(conn, _query("parent_row").format(table=ident)):
            return True
        inspection = catalog.inspect(conn, table.quoted, "", scan=False)
        search = _Search(conn, inspection, {}, depth + 1)
        for recipe in search.recipes():
            try:
                execute(conn, recipe.insert(0, 1))
                return True
            except psycopg.Error as error:
                search.refused(error)
    except psycopg.Error:
        return False
    return False


def _moment(time: Column, times: Times, uuid_maker: str | None) -> sql.Composable | None:
    """The time of row `i`: each next row a chunk further back, and after the last from the first again, a little earlier."""
    part, round_ = (
        sql.SQL("i {} {}").format(sql.SQL(operator), sql.Literal(times.chunks))
        for operator in ("OPERATOR(pg_catalog.%)", "OPERATOR(pg_catalog./)")
    )
    if time.base_type in ("pg_catalog.int2", "pg_catalog.int4", "pg_catalog.int8"):
        return sql.SQL("({latest}::int8 - ({part}) * {width}::int8 - ({round_}))::{type}").format(
            latest=sql.Literal(int(times.latest or 0)),
            part=part,
            width=sql.Literal(times.width),
            round_=round_,
            type=fragment(time.type_sql),
        )
    at = sql.SQL(
        "({latest}::timestamptz - ({part}) * {width}::interval - ({round_}) * '1 second'::interval)"
    ).format(
        latest=sql.Literal(times.latest) if times.latest else sql.SQL("CURRENT_DATE"),
        part=part,
        width=sql.Literal(f"{times.width} microseconds"),
        round_=round_,
    )
    if time.base_type == "pg_catalog.uuid":
        return None if uuid_maker is None else sql.SQL("{}({})").format(fragment(uuid_maker), at)
    return sql.SQL("{}::{}").format(at, fragment(time.type_sql))


_STRINGS = re.compile(r"'((?:[^']|'')*)'")
_NUMBERS = re.compile(r"(?<![\w.'])-?\d+(?:\.\d+)?(?![\w'])")

TEXTS = ("text", "varchar", "bpchar", "citext", "name")
NUMBERS = ("int2", "int4", "int8", "numeric", "float4", "float8", "money", "oid")


def _value(column: Column, checks: list[str], variant: int) -> sql.Composable:
    """A value for the column. Every next variant is another: what its checks compare it with, then plainer ones."""
    plain = column.base_type.rpartition(".")[2]  # of a name that has a dot itself, no more than its end
    strings = [text.replace("''", "'") for check in checks for text in _STRINGS.findall(check)]
    numbers = [number for check in checks for number in _NUMBERS.findall(_STRINGS.sub("", check))]
    candidates: list[sql.Composable] = []
    if plain in TEXTS:
        candidates = [sql.SQL("'row ' || i"), *map(sql.Literal, strings)]
        candidates += [
            sql.SQL("pg_catalog.repeat('x', {})").format(fragment(each)) for each in numbers if each.isdigit()
        ]
        candidates += [sql.SQL("i::text"), sql.Literal("a@b.example"), sql.Literal("A"), sql.Literal("")]
    elif plain in NUMBERS:
        candidates = [sql.SQL("i % 30000 + 1")]
        candidates += [
            fragment(f"({number}){step}") for number in numbers for step in ("", " + 1", " - 1", " / 2.0")
        ]
        candidates += [sql.SQL("i % 9 + 1"), sql.Literal(0), sql.SQL("-1 - i % 9")]
    elif column.type_kind == "e":
        candidates = [
            sql.SQL("(pg_catalog.enum_range(NULL::{}))[{}]").format(fragment(column.type_sql), sql.Literal(n))
            for n in (1, 2)
        ]
    elif column.type_kind == "c":
        candidates = (
            [sql.SQL("NULL")]
            if not column.not_null
            else [
                sql.SQL("pg_catalog.jsonb_populate_record(NULL::{}, '{{}}')").format(
                    fragment(column.type_sql)
                )
            ]
        )
    else:
        candidates = [
            _SIMPLE.get(
                plain, sql.Literal("" if column.type_kind == "b" else _EMPTY.get(column.type_kind, ""))
            )
        ]
        candidates += [sql.Literal(text) for text in strings]
        if not column.not_null:
            candidates.append(sql.SQL("NULL"))
    return sql.SQL("({})::{}").format(candidates[variant % len(candidates)], fragment(column.type_sql))


_EMPTY = {"a": "{}", "r": "empty", "m": "{}"}
"""The empty value of an array, a range, a multirange."""

_SIMPLE: dict[str, sql.Composable] = {
    "bool": sql.SQL("i % 2 = 0"),
    "uuid": sql.SQL("pg_catalog.gen_random_uuid()"),
    "date": sql.SQL("'2024-01-01'::date + (i % 300)::int"),
    "timestamp": sql.SQL("'2024-01-01'::timestamp + i * '1 minute'::interval"),
    "timestamptz": sql.SQL("'2024-01-01'::timestamptz + i * '1 minute'::interval"),
    "time": sql.Literal("12:00"),
    "timetz": sql.Literal("12:00+00"),
    "interval": sql.SQL("i * '1 minute'::interval"),
    "json": sql.Literal("{}"),
    "jsonb": sql.Literal("{}"),
    "bytea": sql.SQL("pg_catalog.decode('00', 'hex')"),
    "inet": sql.Literal("192.0.2.1"),
    "cidr": sql.Literal("192.0.2.0/24"),
    "macaddr": sql.Literal("02:00:00:00:00:01"),
    "macaddr8": sql.Literal("02:00:00:00:00:00:00:01"),
    "point": sql.Literal("(1,1)"),
    "line": sql.Literal("{1,1,1}"),
    "lseg": sql.Literal("[(0,0),(1,1)]"),
    "box": sql.Literal("(1,1),(0,0)"),
    "path": sql.Literal("[(0,0),(1,1)]"),
    "polygon": sql.Literal("((0,0),(0,1),(1,1))"),
    "circle": sql.Literal("<(0,0),1>"),
    "bit": sql.Literal("0"),
    "varbit": sql.Literal("0"),
    "xml": sql.Literal("<a/>"),
    "pg_lsn": sql.Literal("0/0"),
}


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, FILE)[name]
