"""What is there of an index on a hypertable: on the root, on each chunk, valid or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from ..catalog import has
from ..catalog.resolve import user_schemas
from ..db import execute, fetch_all, fetch_one, fetch_value, load_queries
from ..db.connection import Connection
from ..errors import Refused, Usage
from ..model.declared import DeclaredIndex
from ..model.definitions import printed_forms
from ..model.names import TableName
from ..model.statement import Fragment
from .index_text import clause, tail_of

_RELKINDS = {
    "r": "a plain table",
    "v": "a view",
    "m": "a materialized view",
    "p": "a partitioned table",
    "f": "a foreign table",
}

_FORM = "hyperferry_form"
_NOT_UNDERSTOOD = (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError)


def query(name: str) -> sql.SQL:
    """A statement of indexes.sql."""
    return load_queries(__package__, "indexes.sql")[name]


@dataclass(frozen=True)
class Target:
    """Where the index goes. `name` is what the user named: a hypertable, or a continuous aggregate. `oid` and `root` are
    the hypertable's own, the aggregate's one in the latter case: the index is in the schema of `root`."""

    name: TableName
    oid: int
    root: TableName
    aggregate: bool
    timescaledb: str
    edition: str


@dataclass(frozen=True)
class Wanted:
    """The index as PostgreSQL understands it: `tail` is what stands behind the table's name, in words that stay the same
    when PostgreSQL reads them; `tails` are other words for the same index, as it printed them."""

    name: str
    named: bool
    unique: bool
    tail: str
    tails: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Chunk:
    """A chunk, and its best index of the wanted definition (None: none)."""

    oid: int
    name: TableName
    bytes: int
    foreign: bool
    may_create: bool
    index: str | None
    valid: bool

    @property
    def has_it(self) -> bool:
        """Whether nothing is to be done here; a tiered chunk takes no index."""
        return self.foreign or self.valid


def target(conn: Connection, name: TableName) -> Target:
    """The hypertable that an index is to go on. Raises Usage for what is none, Refused without the owner's rights."""
    version, edition = fetch_one(conn, query("version")) or (None, None)
    found = None
    if version is not None:
        found = fetch_one(conn, query("target"), {"schema": name.schema, "name": name.name})
    if found is None:
        kind = fetch_value(conn, query("kind"), {"schema": name.schema, "name": name.name})
        raise Usage(
            f"{name} is not a hypertable.",
            facts={
                "it is": _RELKINDS.get(str(kind), "nothing" if kind is None else "something else"),
                "TimescaleDB": version or "none",
            },
            remedy="name a hypertable or a continuous aggregate; on a plain table use CREATE INDEX CONCURRENTLY.",
        )
    oid, ours, owner, aggregate, *root = found
    if not ours:
        raise Refused(
            f"Only the owner of {name} may make an index on it.",
            facts={"owner": owner, "connected as": conn.info.user},
            remedy=f"connect as {owner}, or as a member of that role.",
        )
    return Target(name, int(oid), TableName(*root), bool(aggregate), str(version), edition or "apache")


def wanted(
    conn: Connection, where: Target, index: DeclaredIndex, storage: Mapping[str, str] | None = None
) -> Wanted:
    """The index in PostgreSQL's own words.

    PostgreSQL may print its own words otherwise when it has read them (see `printed_forms`), so that they are read until
    they stay the same, and so are those of the root's indexes. Names of functions and operator classes are looked for in
    the user's own search path. Raises Usage for an index that PostgreSQL does not understand.
    """
    written = clause(index, storage)
    schemas = user_schemas(conn)
    path = sql.SQL(", ").join(map(sql.Identifier, schemas or ["pg_catalog"]))
    try:
        with _on_a_temporary(conn, where, index.unique, written, path) as made:
            forms = _forms(conn, where, index.unique, made.tail) if made.derived else (made.tail,)
            alike = _alike(conn, where, index.unique, made.oid, forms) if made.derived else ()
            name = index.name or made.name
            return Wanted(name, index.name is not None, index.unique, forms[-1], frozenset((*forms, *alike)))
    except _NOT_UNDERSTOOD as error:
        raise Usage(
            f"PostgreSQL does not understand the index {index.name or 'without a name'} on {where.name}.",
            facts={"index": written, "server said": error.diag.message_primary or str(error)},
            remedy="write columns, expressions and the predicate as they stand in CREATE INDEX.",
        ) from None


@dataclass(frozen=True)
class _Made:
    """An index on a temporary table. `derived`: it has an expression or a predicate."""

    tail: str
    name: str
    oid: int
    derived: bool


@contextmanager
def _on_a_temporary(
    conn: Connection, where: Target, unique: bool, tail: str, path: sql.Composable
) -> Iterator[_Made]:
    """The index on an empty temporary table of the same columns, for the length of the block; then all of it is taken
    back."""
    temporary = sql.Identifier("pg_temp", where.name.name)
    like = sql.Identifier(where.name.schema, where.name.name)
    with conn.transaction(force_rollback=True):
        execute(conn, sql.SQL("CREATE TEMP TABLE {} (LIKE {})").format(temporary, like))
        execute(conn, sql.SQL("SET LOCAL search_path = {}").format(path))
        _create(conn, where, unique, sql.SQL(""), tail)
        execute(conn, "SET LOCAL search_path = pg_catalog, pg_temp")
        yield _made(conn, where, None)


def _create(conn: Connection, where: Target, unique: bool, name: sql.Composable, tail: str) -> None:
    kind = sql.SQL("UNIQUE INDEX" if unique else "INDEX")
    temporary = sql.Identifier("pg_temp", where.name.name)
    execute(conn, sql.SQL("CREATE {} {} ON {} {}").format(kind, name, temporary, Fragment(tail)))


def _made(conn: Connection, where: Target, index: str | None) -> _Made:
    row = fetch_one(conn, query("temporary_index"), {"name": where.name.name, "index": index})
    assert row is not None
    return _Made(tail_of(row[0]), row[1], int(row[2]), bool(row[3]))


def _forms(conn: Connection, where: Target, unique: bool, tail: str) -> tuple[str, ...]:
    """The text in all its printed forms. The temporary table is there."""

    def again(text: str) -> str:
        with conn.transaction(force_rollback=True):
            _create(conn, where, unique, sql.Identifier(_FORM), text)
            return _made(conn, where, _FORM).tail

    return printed_forms(tail, again)


def _alike(
    conn: Connection, where: Target, unique: bool, template: int, forms: tuple[str, ...]
) -> Iterator[str]:
    """What the root's indexes are printed as that come to one of the forms too. The temporary table is there."""
    for (definition,) in fetch_all(conn, query("root_alike"), {"root": where.oid, "template": template}):
        tail = tail_of(definition)
        if tail in forms:
            continue
        try:
            if not set(forms).isdisjoint(_forms(conn, where, unique, tail)):
                yield tail
        except _NOT_UNDERSTOOD:
            continue  # a function of another role's in it, for one


def chunks(conn: Connection, where: Target, want: Wanted) -> list[Chunk]:
    """The chunks, newest first, with what they have of the index.

    The template is the root's index of that name and definition, else the index on a temporary table: a chunk's index
    that TimescaleDB made does not read as the root's does (its constants are folded), so that texts are not compared.
    """
    adopts = has("index_adoption", where.timescaledb, where.edition)
    equals = {name: oid for name, _, oid in root_equals(conn, where, want)}
    template = equals.get(want.name, next(iter(equals.values()), None))
    if template is not None or not adopts:
        return _chunks(conn, where, adopts, template)
    with _on_a_temporary(conn, where, want.unique, want.tail, sql.SQL("pg_catalog, pg_temp")) as made:
        return _chunks(conn, where, adopts, made.oid)


def _chunks(conn: Connection, where: Target, adopts: bool, template: int | None) -> list[Chunk]:
    equal = query("equal_by_structure" if adopts else "equal_by_catalog")
    rows = fetch_all(conn, query("chunks").format(equal=equal), {"root": where.oid, "template": template})
    return [_chunk(row) for row in rows]


def _chunk(row: tuple[Any, ...]) -> Chunk:
    oid, schema, name, size, foreign, may, index, valid = row
    return Chunk(
        int(oid), TableName(schema, name), int(size or 0), bool(foreign), bool(may), index, bool(valid)
    )


def root_equals(conn: Connection, where: Target, want: Wanted) -> list[tuple[str, bool, int]]:
    """The root's indexes of that definition: name, whether it is valid, OID."""
    rows = fetch_all(
        conn,
        query("root_equals"),
        {"root": where.oid, "unique": want.unique, "tails": sorted({want.tail, *want.tails})},
    )
    return [(str(name), bool(valid), int(oid)) for name, valid, oid in rows]
