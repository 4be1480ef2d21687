"""The file of queries: SQL statements with `;` between them, each with a name and where its parameters come from. Pure.

    -- name: latest of a player
    -- param 1: player_id
    SELECT * FROM player_stats WHERE player_id = $1 ORDER BY game_date DESC LIMIT 20;

`-- param N: EXPRESSION` is SQL over the columns of a row that is drawn from the table; `-- param N (row 2): ...` takes another
row than the first, for lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..errors import Usage
from .options import LeftOut, Query, Value
from .statements import parameters, split
from .tokens import Kind, tokens

_NAME = re.compile(r"--\s*name:\s*(.+?)\s*$", re.I)
_PARAM = re.compile(r"--\s*param\s+\$?(\d+)\s*(?:\(\s*row\s+(\d+)\s*\))?\s*:\s*(.*?)\s*$", re.I)
_ANY_PARAM = re.compile(r"--\s*params?\b(?!\s+as\b)", re.I)
MOST_ROWS = 10_000


def parse(text: str, file: str) -> list[Query]:
    """The queries of a file, those without a name under their number. Raises Usage for a file that is not understood."""
    try:
        parts = split(text)
    except ValueError as error:
        raise _wrong(file, str(error)) from None
    queries = [_query(part, number, file) for number, part in enumerate(parts, 1)]
    names = [query.name for query in queries]
    for name in names:
        if names.count(name) > 1:
            raise _wrong(file, f"two queries are named {name!r}")
    if not queries:
        raise _wrong(file, "there is no statement in it")
    return queries


def _query(part: str, number: int, file: str) -> Query:
    name = f"query {number}"
    values: dict[int, Value] = {}
    kept: list[str] = []
    for token in tokens(part):
        if token.kind is Kind.COMMENT:
            named, param = _NAME.match(token.text), _PARAM.match(token.text)
            if named:
                name = named[1]
                continue
            if param:
                row = int(param[2] or 1)
                if not param[3] or not 1 <= row <= MOST_ROWS:
                    raise _wrong(file, f"{token.text!r} says no expression, or a row beyond {MOST_ROWS}")
                values[int(param[1])] = Value(param[3].rstrip(";"), row)
                continue
            if _ANY_PARAM.match(token.text):
                raise _wrong(file, f"{token.text!r} is not understood; write `-- param 1: EXPRESSION`")
        if kept or not token.silent:
            kept.append(token.text)
    sql = "".join(kept).strip()
    unknown = sorted(set(values) - set(parameters(sql)))
    if unknown:
        raise _wrong(file, f"{name!r} has no ${unknown[0]}, which a comment speaks of")
    return Query(name, sql, values)


def write(queries: Iterable[Query], left_out: Sequence[LeftOut], table: str) -> str:
    """A file of queries to be looked through, and completed where a parameter's value is not known; `parse` reads it."""
    name = _one_line(table)
    lines = [f"-- Queries on {name}, for `hyperferry bench {name} --queries FILE`. Look through every `-- param`:",
             "-- it is SQL over the columns of a row that is drawn from the table.", ""]  # fmt: skip
    for query in queries:
        lines += [f"-- name: {_one_line(query.name)}", *_param_lines(query), _plain(query.sql), ";", ""]
    for each in left_out:
        lines.append(f"-- Left out: {_one_line(each.reason)}. What to do: {_one_line(each.remedy)}")
        if each.unknown:
            query = Query(each.name, each.sql, each.values)
            body = [
                f"-- name: {_one_line(each.name)}",
                *_param_lines(query),
                *(f"-- param {n}: ?" for n in each.unknown),
                _plain(each.sql),
                ";",
            ]
            lines.append("-- Or complete this, and take the first two dashes of each line away:")
            lines += [f"-- {line}" for part in body for line in part.splitlines()]
        else:
            lines.append(f"--   {_one_line(each.sql)[:300]}")
        lines.append("")
    return "\n".join(lines)


def _plain(sql: str) -> str:
    """The statement without comments of its own that would be read as ours."""
    kept = [
        "" if token.kind is Kind.COMMENT and any(p.match(token.text) for p in (_NAME, _ANY_PARAM)) else token.text
        for token in tokens(sql)
    ]
    return "".join(kept).strip()


def _param_lines(query: Query) -> list[str]:
    return [
        f"-- param {n}{'' if v.row == 1 else f' (row {v.row})'}: {v.expression}{f'  /* {v.assumed} */' if v.assumed else ''}"
        for n, v in sorted(query.values.items())
    ]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _wrong(file: str, why: str) -> Usage:
    return Usage(
        f"The file of queries is not understood: {why}.",
        facts={"file": file},
        remedy="`hyperferry bench TABLE --write-queries FILE` writes one that is; docs/bench.md shows the format.",
    )
