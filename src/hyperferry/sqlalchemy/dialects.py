"""How a dialect writes the routed tables, and the statements for it that were taken apart."""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.engine import Connection, Dialect

from .other import Other
from .text import Known, Place, Sides, sides_of

TRANSLATE = "schema_translate_map"
_KEPT = "_hyperferry_marks"


class _Cache(dict[Any, Any]):
    """Compiled statements of ours: SQLAlchemy does not let one cache hold the same statement with different keys in its
    schema_translate_map, and the application may use one of its own."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if len(self) >= 500:
            self.clear()
        super().__setitem__(key, value)


class Marks:
    """The marks that stand for the schemas of some tables, and what is known under them, by dialect."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self.tables = tuple(tables)
        # No text of the application's can hold this by chance.
        self.translate: dict[str | None, str] = {
            schema: f"hf_{secrets.token_hex(8)}" for schema in {table.schema for table in tables}
        }

    def of(self, dialect: Dialect) -> InDialect:
        """The same, as that dialect writes it."""
        # With the dialect, and so gone with it: what SQLAlchemy keeps in a cache of compiled statements holds it.
        kept = vars(dialect).get(_KEPT)
        if kept is None:
            kept = vars(dialect).setdefault(_KEPT, weakref.WeakKeyDictionary())
        found: InDialect | None = kept.get(self)
        if found is None:
            found = kept[self] = InDialect(self, dialect)
        return found


class InDialect:
    """The routed tables as one dialect writes them."""

    def __init__(self, marks: Marks, dialect: Dialect) -> None:
        prepare = dialect.identifier_preparer
        self._prepare = weakref.ref(prepare)  # it holds the dialect, which this is kept by
        prefixes = {
            mark: "" if schema is None else f"{prepare.quote_schema(schema)}."
            for schema, mark in marks.translate.items()
        }
        self.places = {
            Place(marks.translate[table.schema], prepare.quote(table.name)): table for table in marks.tables
        }
        places = frozenset(self.places)
        self.known = Known(lambda statement: sides_of(statement, prefixes, places))
        # A copy: SQLAlchemy adds a key of its own to the dictionary that it is given.
        self.options: dict[str, Any] = {TRANSLATE: dict(marks.translate), "compiled_cache": _Cache()}

    def sides(self, statement: str) -> Sides:
        """The statement for either side."""
        return self.known(statement)

    def name_of(self, other: Other) -> str:
        """The other side's whole name."""
        prepare = self._prepare()
        if prepare is None:  # the dialect's own, gone with it
            raise RuntimeError("the dialect of these names is gone")
        return f"{prepare.quote_schema(other.schema)}.{prepare.quote(other.name)}"


def plainly_committing(conn: Connection) -> bool:
    """Whether each statement is a transaction of its own (AUTOCOMMIT), or that cannot be told."""
    raw = conn.connection.dbapi_connection
    return getattr(raw, "autocommit", True) is not False


def whole_name(table: Table) -> str:
    """The table's name for to_regclass."""
    return quoted(table.schema, table.name)


def quoted(*parts: str | None) -> str:
    """A name of these parts, where there are any."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts if part is not None)
