"""Indexes that cost writes and memory and give nothing: duplicates, prefixes of others, BRIN on the time, unused ones."""

from __future__ import annotations

from collections.abc import Iterator

from ...model.advice import Recommendation
from ...model.inspection import Index
from ...model.names import TableName, quote_ident, quoted_if_needed
from ...words import count, size
from ..case import Case

READ_ENOUGH = 1_000
"""Before so many uses of a table's other indexes, that one was not used says nothing."""
LONG_ENOUGH = 7 * 24.0
"""Hours of counting before an unused index is called so: a job may run once a week."""


def check(case: Case) -> Iterator[Recommendation]:
    """Each index that another makes superfluous, then those that nobody uses."""
    d = case.d
    sizes = {use.name: use for use in d.indexes}
    indexes = [index for index in d.inspection.indexes if index.valid]
    gone: set[str] = set()
    for index in indexes:
        if _needed(index):
            continue
        found = _why(
            case, index, [other for other in indexes if other.name not in gone and other is not index]
        )
        if found is None:
            continue
        gone.add(index.name)
        yield _drop(case, index, found, sizes[index.name].bytes if index.name in sizes else 0)
    total = sum(use.scans for use in d.indexes)
    writes = d.writes
    young = writes is not None and writes.hours is not None and writes.hours < LONG_ENOUGH
    for index in indexes:
        use = sizes.get(index.name)
        if _needed(index) or index.name in gone or use is None or use.scans or total < READ_ENOUGH or young:
            continue
        since = (
            "since the server counts"
            if writes is None or writes.since is None
            else f"since {writes.since[:16]}"
        )
        replicas = " (on this server: a replica counts its own)"
        yield _drop(
            case,
            index,
            f"not used once {since}{replicas}, while the table's other indexes were used {count(total)} times",
            use.bytes,
        )


def _needed(index: Index) -> bool:
    """It keeps a rule, or something rests on it."""
    return (
        index.unique
        or index.primary
        or index.exclusion
        or index.constraint is not None
        or index.replica_identity
        or index.clustered
    )


def _why(case: Case, index: Index, others: list[Index]) -> str | None:
    time = case.time.name
    if index.method == "brin" and [each.column for each in index.columns] == [time]:
        return f"chunks are left out by {case.time_sql} already, which is all that a BRIN index on it is for"
    if index.method != "btree":
        return None
    mine = _keys(index)
    for other in others:
        if other.method != "btree" or other.predicate not in (None, index.predicate):
            continue
        theirs = _keys(other)
        same = len(theirs) == len(mine)
        if theirs[: len(mine)] not in (mine, _turned(mine)):
            continue
        covered = {*other.included, *(each.column for each in other.columns)}
        if set(index.included) - covered:
            continue
        if same and other.predicate == index.predicate:
            return f"it is the same as {quoted_if_needed(other.name)}"
        if same:
            return f"{quoted_if_needed(other.name)} has the same columns, for all rows"
        made = ""
        if len(mine) == 1 and index.columns[0].column == time and case.d.hypertable:
            made = " (it is the plain index on the time that TimescaleDB makes of itself)"
        return f"{quoted_if_needed(other.name)} begins with its columns and serves whatever it serves{made}"
    return None


def _keys(index: Index) -> list[tuple[str, bool, bool]]:
    """Columns with their order (descending, NULLs first), and their text where it is more than a name."""
    body = index.tail.partition("(")[2]
    parts, depth, at, quoted = [], 0, 0, False
    for place, sign in enumerate(body):
        quoted ^= sign == '"'
        if quoted:
            continue
        depth += (sign == "(") - (sign == ")")
        if depth < 0 or (sign == "," and depth == 0):
            parts.append(body[at:place].strip())
            at = place + 1
        if depth < 0:
            break
    found = []
    for part in parts:
        down = part.endswith((" DESC", " DESC NULLS LAST", " DESC NULLS FIRST"))
        first = part.endswith("NULLS FIRST") or (down and not part.endswith("NULLS LAST"))
        for end in (" NULLS FIRST", " NULLS LAST", " DESC", " ASC"):
            part = part.removesuffix(end)
        found.append((part, down, first))
    return found


def _turned(keys: list[tuple[str, bool, bool]]) -> list[tuple[str, bool, bool]]:
    return [(text, not down, not first) for text, down, first in keys]


def _drop(case: Case, index: Index, why: str, held: int) -> Recommendation:
    schema = case.d.inspection.table.name.schema
    name = TableName(schema, index.name)
    how = f"DROP INDEX {'' if case.d.hypertable else 'CONCURRENTLY '}{quote_ident(schema)}.{quote_ident(index.name)};"
    lines = [f"{why}; it takes {size(held)}"]
    if not case.d.hypertable:
        lines.append("dropped before the move, it is not built on the hypertable")
    else:
        lines.append("on a hypertable the drop locks all chunks for a moment: set lock_timeout first")
    return Recommendation(
        "superfluous-index",
        f"Superfluous index: {name}",
        tuple(lines),
        (("index", index.name), ("bytes", held)),
        action=how,
    )
