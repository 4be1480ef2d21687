"""`verify --by COLUMN`: count, and sums of the numeric columns, for each group on both sides."""

from __future__ import annotations

import decimal
from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

from ..db import fetch_all
from ..db.connection import Connection
from ..errors import Refused, Usage
from ..ledger.flow import Flow
from ..model.inspection import Column
from ..model.report import GroupParity
from . import statements
from .ranges import Range, dropped_condition, row_condition

MOST_GROUPS = 10_000
_NUMERIC = frozenset(f"pg_catalog.{name}" for name in ("int2", "int4", "int8", "numeric", "float4", "float8"))
# Sums are exact whatever their length; an infinity less an infinity is NaN, as for the server.
_CONTEXT = decimal.Context(prec=decimal.MAX_PREC, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX, traps=[])


@dataclass(frozen=True)
class Sums:
    """One group: rows and sums by numeric column on both sides (None: no value that is not NULL)."""

    source_rows: int
    target_rows: int
    source: tuple[decimal.Decimal | None, ...]
    target: tuple[decimal.Decimal | None, ...]

    @property
    def match(self) -> bool:
        """Both sides agree."""
        return self.source_rows == self.target_rows and all(
            a == b or (a is not None and b is not None and a.is_nan() and b.is_nan())
            for a, b in zip(self.source, self.target, strict=True)
        )

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.source_rows + other.source_rows,
            self.target_rows + other.target_rows,
            tuple(_plus(a, b) for a, b in zip(self.source, other.source, strict=True)),
            tuple(_plus(a, b) for a, b in zip(self.target, other.target, strict=True)),
        )


GroupSums = dict[str | None, Sums]


def _plus(a: decimal.Decimal | None, b: decimal.Decimal | None) -> decimal.Decimal | None:
    if a is None or b is None:
        return a if b is None else b
    return _CONTEXT.add(a, b)


def group_column(flow: Flow, name: str) -> Column:
    """The column to group by. Raises Usage where the table has none of that name."""
    column = flow.rollout.plan.inspection.column(name)
    if column is None:
        raise Usage(
            f"{flow.rollout.table} has no column {name!r}.",
            facts={"columns": ", ".join(c.name for c in flow.rollout.plan.inspection.columns)},
            remedy="give one of these with --by.",
        )
    return column


def _summed(flow: Flow) -> list[Column]:
    return [c for c in flow.rollout.plan.inspection.columns if c.base_type in _NUMERIC]


def group_sums(
    conn: Connection, flow: Flow, within: Range, dropped: statements.Dropped, by: str
) -> GroupSums:
    """The groups of one range at the present snapshot. Where they differ, rows whose pair stands in the
    backlog are left out on both sides: what remains must agree. Raises Refused for more than `MOST_GROUPS`
    groups."""
    found = _read(conn, flow, within, dropped, by, settled=False)
    if all(sums.match for sums in found.values()):
        return found
    return _read(conn, flow, within, dropped, by, settled=True)


def _read(
    conn: Connection, flow: Flow, within: Range, dropped: statements.Dropped, by: str, *, settled: bool
) -> GroupSums:
    columns = _summed(flow)
    column = group_column(flow, by)
    nothing: sql.Composable = sql.SQL("")
    parts: dict[str, sql.Composable] = {"source": flow.active.ident, "target": flow.passive.ident}
    for alias in "st":
        parts[f"{alias}_group"] = sql.SQL('{}::text COLLATE "C"').format(sql.Identifier(alias, column.name))
        parts[f"{alias}_values"] = sql.SQL("").join(
            sql.SQL(", {}::numeric AS {}").format(sql.Identifier(alias, c.name), sql.Identifier(f"v{number}"))
            for number, c in enumerate(columns)
        )
        parts[f"{alias}_range"] = row_condition(flow, within, alias)
        parts[f"{alias}_dropped"] = dropped_condition(flow, dropped, alias)
        parts[f"{alias}_settled"] = statements.not_in_backlog(flow, alias) if settled else nothing
    parts["sums"] = sql.SQL("").join(
        sql.SQL(", sum({v}) FILTER (WHERE side = {side})").format(
            v=sql.Identifier(f"v{number}"), side=sql.Literal(side)
        )
        for side in "st"
        for number in range(len(columns))
    )
    rows = fetch_all(conn, statements.query("groups").format(**parts), {"limit": MOST_GROUPS + 1})
    _bounded(len(rows), by)
    width = len(columns)
    return {row[0]: Sums(row[1], row[2], row[3 : 3 + width], row[3 + width :]) for row in rows}


def _bounded(count: int, by: str) -> None:
    if count > MOST_GROUPS:
        raise Refused(
            f"--by {by} has more than {MOST_GROUPS} groups.",
            remedy="give a column with fewer different values; without --by every row is compared too.",
        )


def merge(flow: Flow, by: str, parts: Iterable[GroupSums]) -> tuple[GroupParity, ...]:
    """All ranges' groups as one, in the order of their names, the group of NULLs last."""
    total: GroupSums = {}
    for part in parts:
        for group, sums in part.items():
            total[group] = total[group] + sums if group in total else sums
    _bounded(len(total), by)
    names = [c.name for c in _summed(flow)]
    return tuple(
        GroupParity(
            group,
            sums.source_rows,
            sums.target_rows,
            sums.match,
            dict(zip(names, map(_text, sums.source), strict=True)),
            dict(zip(names, map(_text, sums.target), strict=True)),
        )
        for group, sums in sorted(total.items(), key=lambda item: (item[0] is None, item[0] or ""))
    )


def _text(value: decimal.Decimal | None) -> str | None:
    return None if value is None else format(value, "f")
