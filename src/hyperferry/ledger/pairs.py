"""Pairs: (identity, time), by which a row is found again on either side.

In the log and everywhere else in the ledger a pair stands in columns of fixed names: `k1`, `k2`, ... for the identity's
columns other than the time, or `h` for the hash of the row's image where the table has no key, and `t` for the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from psycopg import sql

from ..errors import Failed
from ..model.definitions import key_elements
from ..model.inspection import Column
from ..model.plan import Plan
from ..model.statement import fragment
from .image import coarse_hash


@dataclass(frozen=True)
class PairField:
    """One column of a pair: its name in the ledger, its type, how it is read from a row, and its equality."""

    name: str
    type: sql.Composable
    of_row: Callable[[str], sql.Composed]
    equals: sql.SQL
    label: str  # what people call it: the column's name
    is_time: bool = False
    collation: str | None = None  # qualified and quoted, where it is not that of `type`

    @property
    def definition(self) -> sql.Composed:
        """Type and collation for a column of the ledger: a text key must be compared there in the order in which
        its batches were cut (I4)."""
        collate = sql.SQL(" COLLATE {}").format(fragment(self.collation)) if self.collation else sql.SQL("")
        return sql.SQL("{}{}").format(self.type, collate)


def type_name(column: Column) -> sql.Composed:
    """The column's type without domain and modifiers, as SQL: what the ledger can hold any value of, NULL too."""
    schema, *names = column.base_type.split(".")
    quoted = len(names) > 1  # by its inspection
    return sql.SQL("{}").format(fragment(column.base_type) if quoted else sql.Identifier(schema, *names))


def _collated(plan: Plan) -> bool:
    """Whether the key's index has a collation of its own: then comparisons of its columns cannot be served by it."""
    tails = [index.tail for index in plan.inspection.indexes if index.name == plan.identity.index]
    return any(" COLLATE " in element for tail in tails for element in key_elements(tail))


def as_compared(column: Column, value: sql.Composable) -> sql.Composed:
    """A value of the column as operators take it: to those of enums a domain over one is no enum."""
    cast = sql.SQL("::{}").format(type_name(column)) if column.type_kind == "e" else sql.SQL("")
    return sql.SQL("{}{}").format(value, cast)


def _reader(column: Column) -> Callable[[str], sql.Composed]:
    return lambda alias: as_compared(column, sql.Identifier(alias, column.name))


@dataclass(frozen=True)
class Pairs:
    """The pair of one plan's table, as SQL."""

    fields: tuple[PairField, ...]
    by_image: bool
    key_alone: bool = False
    """The source's key has no time in it: the key's columns alone find a row by index, on either side."""
    stored: tuple[str, ...] = ()
    """The columns that an image is of, where the table has others: virtual ones, which PostgreSQL 18 computes where the row as a
    whole is looked at, and which may fail."""

    @property
    def time(self) -> PairField:
        """The field of the time column."""
        return next(field for field in self.fields if field.is_time)

    def definition(self) -> sql.Composed:
        """Column definitions for a table of the ledger: `k1 type, t type`."""
        return sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(f.name), f.definition) for f in self.fields
        )

    def columns(self, alias: str | None = None) -> sql.Composed:
        """The pair's columns in a table of the ledger: `p.k1, p.t`."""
        return sql.SQL(", ").join(
            sql.Identifier(alias, f.name) if alias else sql.Identifier(f.name) for f in self.fields
        )

    def of_row(self, alias: str) -> sql.Composed:
        """The pair of the table's row `alias`, with the ledger's names: `s.id AS k1, s.at AS t`."""
        return sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(f.of_row(alias), sql.Identifier(f.name)) for f in self.fields
        )

    def of_either(self, condition: sql.Composable, left: str, right: str) -> sql.Composed:
        """The pair of the row `left` where the condition holds, else that of `right`, as values in the order of `columns`."""
        return sql.SQL(", ").join(
            sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(condition, f.of_row(left), f.of_row(right)) for f in self.fields
        )

    def moved(self, old: str, new: str) -> sql.Composed:
        """Whether the two rows, one before and one after an UPDATE, may have different pairs: true where one byte of what the
        pair is made of differs. An expression that stays what it is when a server prints it and reads it again (`*<>` between two
        ROW() is read as column by column)."""
        names = self.stored if self.by_image else tuple(f.label for f in self.fields)
        rows = [
            sql.SQL("ROW({})").format(sql.SQL(", ").join(sql.Identifier(row, name) for name in names))
            if names
            else sql.SQL("{}.*").format(sql.Identifier(row))
            for row in (old, new)
        ]
        return sql.SQL("pg_catalog.record_image_ne({}, {})").format(*rows)

    def matches(self, pair: str, row: str, *, null_time: bool = False, by_key: bool = False) -> sql.Composed:
        """That the table's row `row` has the pair `pair`. `null_time`: for pairs whose time is NULL, and no others. `by_key`:
        where the key alone finds a row, the equality of the times is written so that no index on the time can serve it. To a
        planner whose statistics are older than the rows a time looks as rare as a key, and each pair would read all of its day.
        """
        terms: list[sql.Composable] = []
        for f in self.fields:
            if f.is_time and null_time:
                terms.append(
                    sql.SQL("({} IS NULL AND {}.t IS NULL)").format(f.of_row(row), sql.Identifier(pair))
                )
            else:
                equal = sql.SQL("{} {} {}").format(f.of_row(row), f.equals, sql.Identifier(pair, f.name))
                hidden = f.is_time and by_key and self.key_alone
                terms.append(sql.SQL("({}) IS TRUE").format(equal) if hidden else equal)
        return sql.SQL(" AND ").join(terms)

    def same(self, left: str, right: str) -> sql.Composed:
        """That two pairs of the ledger are the same, NULL time included."""
        terms: list[sql.Composable] = []
        for f in self.fields:
            a, b = sql.Identifier(left, f.name), sql.Identifier(right, f.name)
            terms.append(
                sql.SQL("({a} {eq} {b} OR ({a} IS NULL AND {b} IS NULL))").format(a=a, eq=f.equals, b=b)
            )
        return sql.SQL(" AND ").join(terms)

    def as_json(self, alias: str) -> sql.Composed:
        """The pair in the words of the table, column -> value as text, as jsonb."""
        return sql.SQL("pg_catalog.jsonb_build_object({})").format(
            sql.SQL(", ").join(
                sql.SQL("{}::text, {}::text").format(sql.Literal(f.label), sql.Identifier(alias, f.name))
                for f in self.fields
            )
        )


PG_EQUALS = sql.SQL("OPERATOR(pg_catalog.=)")


def pairs_of(plan: Plan) -> Pairs:
    """The pair of the plan's table. Raises Failed where the plan names a column that its inspection lacks."""
    time = plan.inspection.time
    if time is None:
        raise Failed("The plan's time column is not in its inspection.", facts={"column": plan.time_column})
    fields: list[PairField] = []
    if plan.identity.by_image:
        columns = plan.inspection.stored_columns
        fields.append(
            PairField(
                "h",
                sql.SQL("bigint"),
                lambda alias: coarse_hash(alias, columns, image=plan.image),
                PG_EQUALS,
                "(hash of the row)",
            )
        )
    else:
        others = [c for c in plan.identity.columns if c.name != plan.time_column]
        for number, part in enumerate(others, 1):
            column = plan.inspection.column(part.name)
            if column is None:
                raise Failed(
                    "The plan's key has a column that its inspection lacks.", facts={"column": part.name}
                )
            fields.append(
                PairField(
                    f"k{number}",
                    type_name(column),
                    _reader(column),
                    fragment(part.equals),
                    part.name,
                    collation=column.base_collation or column.collation,
                )
            )
    fields.append(PairField("t", type_name(time), _reader(time), PG_EQUALS, time.name, is_time=True))
    key_alone = not plan.identity.by_image and len(fields) > len(plan.identity.columns) and not _collated(plan)
    stored = tuple(column.name for column in plan.inspection.stored_columns)
    whole = len(stored) == len(plan.inspection.columns)
    return Pairs(tuple(fields), plan.identity.by_image, key_alone, () if whole or not plan.identity.by_image else stored)
