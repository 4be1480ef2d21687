"""Indexes worth having for statements that are seen: the columns compared, the time behind them; covering and partial ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from ...benchmark.tokens import NAME_BYTES
from ...model.advice import Recommendation
from ...model.inspection import Index
from ...model.names import quoted_if_needed
from ...words import count, size
from .. import toml
from ..case import Case
from ..shapes import Shape

OFTEN = 10
"""A statement called less often is not worth an index."""
FEW = 0.1
"""A condition that leaves more of the rows than this does not profit from an index."""
PARTIAL = 0.2
"""A partial index holds no more of the rows than this."""
NARROW, MOST_INCLUDED = 32, 3
"""Columns that a covering index carries along: of so many bytes at most, and so many of them."""
MOST = 5
_ENTRY = 16
"""Bytes of an index entry beside its columns: its head and its pointer (PostgreSQL's documentation, storage-page-layout)."""


def check(case: Case) -> Iterator[Recommendation]:
    """For the statements that are called most, at most MOST indexes that are not there."""
    made: dict[tuple[object, ...], Recommendation] = {}
    shapes = sorted(
        (s for s in case.shapes if s.kind == "select"), key=lambda s: -(s.use.total_ms or s.weight)
    )
    for shape in shapes:
        if shape.use.calls is not None and shape.use.calls < OFTEN:
            continue
        found = _for(case, shape)
        if found is not None and found[0] not in made and len(made) < MOST:
            made[found[0]] = found[1]
    yield from made.values()


def _for(case: Case, shape: Shape) -> tuple[tuple[object, ...], Recommendation] | None:
    spreads = {each.name: each for each in case.d.columns}
    equal = [name for name in shape.equal if name != case.time.name]
    where, part = _predicate(case, shape)
    if not equal and where is None:
        return None
    share = part
    for name in equal:
        share /= max((spreads[name].distinct if name in spreads else None) or 1.0, 1.0)
    if share > FEW:
        return None
    equal.sort(key=lambda name: (-((spreads[name].distinct if name in spreads else None) or 0.0), name))
    by_time = case.time.name in shape.ranged or any(name == case.time.name for name, _ in shape.ordered)
    keys = [*equal[:3], *([case.time.name] if by_time or not equal else [])]
    extra = _included(case, shape, keys)
    serving = [
        index
        for index in case.d.inspection.indexes
        if _serves(index, equal, keys, by_time, case.time.name, where)
    ]
    if serving:
        # It is there: better only where it could answer alone.
        if not extra or any(
            set(extra) <= {*index.included, *(each.column for each in index.columns)} for index in serving
        ):
            return None
        if where is None and any(index.predicate is not None for index in serving):
            return None
    return (tuple(keys), tuple(extra), where), _index(case, shape, keys, extra, where, part, share, serving)


def _predicate(case: Case, shape: Shape) -> tuple[str | None, float]:
    """A condition without parameters that few rows meet, as SQL, and the part of the rows that meet it."""
    spreads = {each.name: each for each in case.d.columns}
    best: tuple[str | None, float] = (None, 1.0)
    for name, null in shape.null_tests:
        if name in spreads:
            part = spreads[name].null_share if null else 1 - spreads[name].null_share
            if part <= PARTIAL and part < best[1]:
                best = f"{quoted_if_needed(name)} IS {'' if null else 'NOT '}NULL", part
    for name, true in shape.flags:
        known = spreads[name].true_share if name in spreads else None
        if known is not None:
            part = known if true else 1 - spreads[name].null_share - known
            if part <= PARTIAL and part < best[1]:
                best = f"{'' if true else 'NOT '}{quoted_if_needed(name)}", part
    return best


def _serves(
    index: Index, equal: list[str], keys: list[str], by_time: bool, time: str, where: str | None
) -> bool:
    """Whether the index does what one of these keys would: it begins with them, or with more of the columns that are compared."""
    if index.method not in ("btree", "hash") or not index.valid:
        return False
    if index.predicate is not None and (where is None or _plain(index.predicate) != _plain(where)):
        return False
    columns = [each.column for each in index.columns]
    if index.unique and index.predicate is None and set(columns) - {time} <= set(equal):
        return True
    if where is not None and index.predicate is None and not equal:
        return False
    lead = list(takewhile(lambda name: name in equal, columns))
    head = set(lead) >= set(keys) - {time}
    return head and (not by_time or time in columns[len(lead) : len(lead) + 1])


def _plain(text: str) -> str:
    return text.replace("(", "").replace(")", "").replace('"', "").strip().lower()


def _included(case: Case, shape: Shape, keys: list[str]) -> list[str]:
    """What else the statement reads, where it is little enough to be carried along."""
    if shape.selected is None:
        return []
    spreads = {each.name: each for each in case.d.columns}
    names = dict.fromkeys(
        [*shape.selected, *(name for name, _ in shape.ordered), *shape.asked]
    )
    tested = {name for name, _ in (*shape.null_tests, *shape.flags)}
    rest = [name for name in names if name not in keys and name not in tested]
    if len(rest) > MOST_INCLUDED or any(
        name not in spreads or spreads[name].width_bytes > NARROW for name in rest
    ):
        return []
    return rest


def _index(
    case: Case,
    shape: Shape,
    keys: list[str],
    extra: list[str],
    where: str | None,
    part: float,
    share: float,
    serving: list[Index],
) -> Recommendation:
    table = case.d.inspection.table.name
    taken = {index.name for index in case.d.inspection.indexes}
    name = _name(table.name, [*keys, *(["part"] if where else [])], taken)
    columns = [
        f"{quoted_if_needed(key)} DESC" if key == case.time.name else quoted_if_needed(key) for key in keys
    ]
    spreads = {each.name: each for each in case.d.columns}
    width = _ENTRY + sum(spreads[each].width_bytes if each in spreads else 8 for each in (*keys, *extra))
    held = width * case.d.rows * part
    calls = "" if shape.use.calls is None else f", {count(shape.use.calls)} calls"
    lines = [
        f"{shape.use.source}{calls}: {' '.join(shape.use.text.split())[:200]}",
        f"its conditions leave about {share:.2%} of the rows"
        + ("; none of the indexes begins with its columns" if not serving else ""),
    ]
    if serving:
        lines.append(
            f"{', '.join(quoted_if_needed(index.name) for index in serving[:2])} finds the rows; with "
            f"{', '.join(map(quoted_if_needed, extra))} in "
            "the index the table need not be visited (where the pages are all-visible)"
        )
    elif extra:
        lines.append(
            f"INCLUDE carries {', '.join(map(quoted_if_needed, extra))} along, so that the index answers alone"
        )
    if where is not None:
        lines.append(f"partial: {where} holds for {part:.1%} of the rows")
    lines.append(f"it would take about {size(held)}, and each insert writes to it")
    body = ["[[index]]", f"name = {toml.text(quoted_if_needed(name))}", f"columns = {toml.texts(columns)}"]
    if extra:
        body.append(f"include = {toml.texts(map(quoted_if_needed, extra))}")
    if where is not None:
        body.append(f"where = {toml.text(where)}")
    kind = "covering" if extra else "partial" if where else "new"
    return Recommendation(
        "worthwhile-index",
        f"Index worth having ({kind}): {', '.join(columns)}",
        tuple(lines),
        (
            ("columns", keys),
            ("include", extra),
            ("where", where),
            ("share", share),
            ("bytes", round(held)),
            ("calls", shape.use.calls),
        ),
        toml="\n".join(body),
    )


def _name(table: str, keys: list[str], taken: set[str]) -> str:
    """A name of its own within the length that PostgreSQL keeps."""
    for number in range(1, 100):
        end = f"_idx{number if number > 1 else ''}"
        body = f"{table}_{'_'.join(keys)}".encode()[: NAME_BYTES - len(end)].decode(errors="ignore")
        if body + end not in taken:
            return body + end
    return f"{table[:20]}_advised_idx"
