"""Compression: which columns rows are kept apart by, in which order they lie, and when a chunk may be compressed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ...model.advice import Recommendation
from ...model.names import quoted_if_needed
from ...words import count, plural
from .. import toml
from ..case import Case, nice, nice_words
from ..editions import APACHE_COMPRESSION

ROWS_PER_SEGMENT = 100
"""Fewer rows of one value in a chunk compress badly: a batch holds up to 1,000 (TimescaleDB's documentation of segmentby)."""
ASKED = 0.1
"""A column that fewer of the calls compare or group by is not worth a segment."""
MOST = 3
_NOT = (
    "pg_catalog.json",
    "pg_catalog.jsonb",
    "pg_catalog.xml",
    "pg_catalog.float4",
    "pg_catalog.float8",
    "pg_catalog.bytea",
)


def wanted_columns(case: Case) -> tuple[dict[str, float], str]:
    """Columns with the part of the calls that compare them with a value or group by them; and by what that is known. Where no
    statement is known: the columns that indexes begin with."""
    known = {each.name: each for each in case.d.inspection.columns}
    weights: dict[str, float] = {}
    shapes = [shape for shape in case.shapes if shape.kind in ("select", "update", "delete")]
    total = sum(shape.weight for shape in shapes)
    for shape in shapes:
        for name in {*shape.equal, *shape.grouped}:
            weights[name] = weights.get(name, 0.0) + shape.weight / total
    source = plural(len(shapes), "statement")
    if not weights:
        uses = {use.name: use.scans for use in case.d.indexes}
        scans = sum(uses.values())
        for index in case.d.inspection.indexes:
            first = next((each.column for each in index.columns[:1]), None)
            if first is None or index.predicate is not None or index.method not in ("btree", "hash"):
                continue
            if index.unique and len([each for each in index.columns if each.column != case.time.name]) == 1:
                continue
            weights[first] = max(weights.get(first, 0.0), uses.get(index.name, 0) / scans if scans else 1.0)
        source = "the first columns of its indexes, for no statement is known"
    usable = {
        name: weight
        for name, weight in weights.items()
        if name != case.time.name
        and name in known
        and known[name].base_type not in _NOT
        and not known[name].generated
    }
    return dict(sorted(usable.items(), key=lambda pair: -pair[1])), source


def rows_per_value(case: Case, names: Sequence[str]) -> float | None:
    """Rows of one value (one combination of values) in a chunk; None where the values were not counted."""
    rows = case.rows_per_chunk
    per = {each.column: each for each in case.d.per_interval}
    total = {each.name: each.distinct for each in case.d.columns}
    values = 1.0
    for name in names:
        if name in per:
            values *= max(per[name].distinct, 1.0)
            rows = min(rows, per[name].rows)
        elif total.get(name):
            values *= total[name] or 1.0
        else:
            return None
    return rows / max(values, 1.0)


def check(case: Case) -> Iterator[Recommendation]:
    """segment_by and order_by, and after which time."""
    yield _segments(case)
    yield _after(case)
    window = case.updates
    if window is not None and window.seconds and case.d.axis.per_second is not None:
        within = nice(max(window.seconds, 0.0 if case.late is None else case.late.seconds))
        yield Recommendation(
            "updates-within",
            f"Rows change within {nice_words(within)} of their time",
            (
                window.words,
                "said in the file, so that `diff` and `apply` refuse to compress, or refresh, within it",
            ),
            (("seconds", within),),
            toml=f"updates_within = {case.length(within)}",
        )


def _segments(case: Case) -> Recommendation:
    weights, source = wanted_columns(case)
    lines: list[str] = []
    numbers: list[tuple[str, object]] = [("rows_per_chunk", round(case.rows_per_chunk))]
    chosen: list[str] = []
    shares = {each.name: each.top_share for each in case.d.columns}
    for name, weight in list(weights.items())[:8]:
        shown = quoted_if_needed(name)
        asked = (
            f"{weight:.0%} of the calls compare it or group by it"
            if case.shapes
            else "an index begins with it"
        )
        each = rows_per_value(case, [*chosen, name])
        if each is not None:
            numbers.append((f"rows_per_value_and_chunk.{name}", round(each, 1)))
        with_others = f" beside {', '.join(map(quoted_if_needed, chosen))}" if chosen else ""
        if weight < ASKED:
            lines.append(f"not {shown}: {asked} only")
        elif each is None:
            lines.append(f"not {shown}: {asked}, but its values were not counted")
        elif each < ROWS_PER_SEGMENT:
            lines.append(
                f"not {shown}: {asked}, but a chunk holds {each:,.1f} rows of one value{with_others}, and "
                f"{ROWS_PER_SEGMENT} should be the least{_wider(case, each)}"
            )
        elif len(chosen) == MOST:
            lines.append(f"not {shown}: {MOST} columns are enough")
        else:
            top = shares.get(name)
            skew = "" if top is None else f"; the most common value has {top:.0%} of all rows"
            rows = count(math.floor(each))
            lines.append(
                f"{shown}: {asked}, and a chunk holds about {rows} rows of one value{with_others}{skew}"
            )
            chosen.append(name)
    if not weights:
        lines.append("no statement and no index says by which columns rows are asked for: no segment_by")
    key = next((index for index in case.d.inspection.indexes if index.primary), None)
    rest = (
        []
        if key is None
        else [each.column for each in key.columns if each.column not in (None, case.time.name, *chosen)]
    )
    order = [f"{case.time_sql} DESC", *(quoted_if_needed(name) for name in rest if name)]
    lines.append(
        f"ordered by {', '.join(order)}: the time, so that a range of it reads few batches"
        + (", and what is left of the key, so that rows are told apart" if rest else "")
    )
    lines.append(f"judged by {source}")
    body = [f"segment_by = {toml.texts(map(quoted_if_needed, chosen))}", f"order_by = {toml.texts(order)}"]
    numbers += [("segment_by", chosen), ("order_by", order)]
    title = (
        f"Compression: segments by {', '.join(map(quoted_if_needed, chosen))}"
        if chosen
        else "Compression: no segments"
    )
    text = "\n".join(["[compression]", *body])
    return Recommendation(
        "segment-by", title, tuple(lines), tuple(numbers), toml=text, unavailable=_unavailable(case)
    )


def _wider(case: Case, rows: float) -> str:
    """From which width of a chunk on there would be enough, where that is not absurdly wide."""
    if case.width is None or case.width.microseconds is None or rows * 10 < ROWS_PER_SEGMENT:
        return ""
    wide = nice(case.width.microseconds / 1_000_000 * ROWS_PER_SEGMENT / rows)
    return f" (from chunks of {nice_words(wide)} on there would be)"


def _after(case: Case) -> Recommendation:
    lines: list[str] = []
    late, updates, width = case.late, case.updates, case.width
    known = [window for window in (late, updates) if window is not None]
    for window in known:
        lines.append(window.words)
    if late is not None and late.seconds and case.d.arrival is None:
        lines.append("a table that was loaded or clustered in another order than that of its time looks so too: see --arrived")
    writes = case.d.writes
    changed = 0 if writes is None else writes.updated + writes.deleted
    if updates is None:
        lines.append(
            f"how late updates come is not known ({count(changed)} updates and deletes were counted): name a column "
            "that says when a row "
            "was changed with --updated, or set updates_within yourself"
        )
    if late is None:
        lines.append(
            "how late rows come is not known: name a column that says when a row came with --arrived"
        )
    closed = [chunk for chunk in case.d.chunks[:-1] if chunk.updated + chunk.deleted]
    if closed:
        lines.append(
            f"of {count(len(case.d.chunks) - 1)} chunks that are no longer the newest, {count(len(closed))} had updates "
            "or deletes "
            f"since the server counts, the oldest from {case.d.axis.place_words(closed[0].start)}: at what age is not "
            "counted"
        )
    longest = max((window.seconds for window in known), default=0.0)
    chunk = 7 * 86_400.0 if width is None or width.microseconds is None else width.microseconds / 1_000_000
    after = nice(max(longest, chunk))
    lines.append(
        f"a chunk is compressed when all of it is older than that, so each row in it is at least {nice_words(after)} "
        "old: the longest of "
        f"these windows ({nice_words(nice(longest)) if longest else 'none'}, rounded up) and one chunk ({nice_words(chunk)})"
    )
    body = ["[compression]", f"after = {case.length(after)}"]
    if case.d.axis.integer and case.d.axis.per_second is None:
        return Recommendation("compress-after", "Compress: the unit of the time is not known", tuple(lines))
    return Recommendation(
        "compress-after",
        f"Compress after {nice_words(after)}",
        tuple(lines),
        (
            ("after_seconds", after),
            ("late_seconds", None if late is None else late.seconds),
            ("update_seconds", None if updates is None else updates.seconds),
        ),
        toml="\n".join(body),
        unavailable=_unavailable(case),
    )


def _unavailable(case: Case) -> str | None:
    return None if case.community else APACHE_COMPRESSION
