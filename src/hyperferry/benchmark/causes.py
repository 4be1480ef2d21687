"""Why a query lost, in words, with a remedy for each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..model.definitions import append_key_column
from ..model.names import quote_ident, quoted_if_needed
from ..words import milliseconds, plural
from .figures import median
from .options import Cause, Index, Measured, Run, Side

HALF = 0.5
"""A cause that explains less of the loss than this is not named for it."""
FEW = 4
"""Fewer planned chunks than this explain no loss of planning time."""
OTHER_ROWS = "the two returned different numbers of rows; rows are still on their way, or were written meanwhile"
OTHER_SETTINGS = "planned under other settings"
PLANNED_ONCE = (
    "the version of hyperferry that kept before had a query without parameters planned once, so its planning time is not "
    "comparable with today's; compare execution alone, or keep it anew where it can be measured again"
)
USUAL = "the server's own default"
REFUSED, TOO_SLOW = "refused", "too-slow"
FAILURES = frozenset({REFUSED, TOO_SLOW})
MOST = 0.9
"""From this part of all chunks on a query reads 'all' of them."""


def causes(before: Side, after: Side, old: Measured, new: Measured) -> tuple[Cause, ...]:
    """The causes of a loss, the weightiest first; at least one. Both have runs, and `new` has a shape; where `old` has none, no
    cause rests on a comparison of both."""
    assert new.shape is not None
    found = [
        cause
        for cause in (
            _no_time_predicate(after, new),
            _time_not_usable(after, new),
            _many_in_range(after, new),
            _planning(before, after, old, new),
            _index(before, after, old, new),
            _stale(after),
            _decompression(old, new),
            _jit(old, new),
            _spill(old, new),
            _workers(old, new),
            _disk(old, new),
        )
        if cause is not None
    ]
    return tuple(found) or (
        Cause(
            "unknown",
            f"{_loss(old, new)}; nothing that hyperferry knows of explains it",
            "compare the two plans node by node, and run EXPLAIN (ANALYZE, BUFFERS) on both by hand.",
        ),
    )


def causes_of_failure(after: Side, new: Measured, reason: Cause) -> tuple[Cause, ...]:
    """Why a query that ran before does not after: what stopped it, and what its plan says of it where there is one."""
    assert reason.code in FAILURES
    found = _no_time_predicate_planned(after, new) if new.shape is not None else None
    return (reason,) if found is None else (found, reason)


def _no_time_predicate_planned(after: Side, new: Measured) -> Cause | None:
    """As `_no_time_predicate`, of a plan that never ran to its end."""
    assert new.shape is not None
    if after.chunks is None or after.chunk_count < 2 or new.shape.time_condition or new.shape.planned_chunks < 2:
        return None
    return Cause(
        "no-time-predicate",
        f"no condition on {_time(after)}: of {plural(after.chunk_count, 'chunk')}, {new.shape.planned_chunks} are planned",
        _narrow_the_range(after),
    )


def _narrow_the_range(after: Side) -> str:
    return f"add a condition on {_time(after)} with the range that the question is about, even a generous one{_wider(after)}."


def _gain(old: Measured, new: Measured, of: Callable[[Run], float]) -> float:
    return median(new.runs, of) - median(old.runs, of)


def _loss(old: Measured, new: Measured) -> str:
    planning, execution = (_gain(old, new, of) for of in (lambda r: r.planning_ms, lambda r: r.execution_ms))
    return (
        f"planning takes {milliseconds(abs(planning))} {_more(planning)}, "
        f"execution {milliseconds(abs(execution))} {_more(execution)}"
    )


def _more(value: float) -> str:
    return "more" if value >= 0 else "less"


def _read(after: Side, new: Measured) -> tuple[int, int] | None:
    """Chunks read (the median) of how many; None where there is no question of it."""
    if after.chunks is None or after.chunk_count < 2:
        return None
    return round(median(new.runs, lambda run: run.chunks)), after.chunk_count


def _time(after: Side) -> str:
    return quoted_if_needed(after.time_column or "time")


def _no_time_predicate(after: Side, new: Measured) -> Cause | None:
    read = _read(after, new)
    assert new.shape is not None
    if read is None or new.shape.time_condition or new.shape.planned_chunks < 2:
        return None
    return Cause(
        "no-time-predicate",
        f"no condition on {_time(after)}: of {plural(read[1], 'chunk')}, {new.shape.planned_chunks} are planned and "
        f"{read[0]} read",
        _narrow_the_range(after),
    )


def _time_not_usable(after: Side, new: Measured) -> Cause | None:
    read = _read(after, new)
    assert new.shape is not None
    if (
        read is None
        or not new.shape.time_condition
        or read[0] < MOST * read[1]
        or new.shape.planned_chunks < MOST * read[1]
    ):
        return None
    return Cause(
        "time-predicate-excludes-nothing",
        f"the condition on {_time(after)} excludes no chunk: {read[0]} of {read[1]} are read",
        f"compare the column itself with a value or a range ({_time(after)} >= ... AND {_time(after)} < ...), not an "
        f"expression over it such as date_trunc or a cast{_wider(after)}.",
    )


def _many_in_range(after: Side, new: Measured) -> Cause | None:
    read = _read(after, new)
    assert new.shape is not None
    if read is None or not new.shape.time_condition or read[0] < 10 or read[0] >= MOST * read[1]:
        return None
    return Cause(
        "range-over-many-chunks",
        f"the range of {_time(after)} covers {read[0]} chunks of {read[1]}, each with its own indexes to go down",
        f"take a wider chunk interval than {after.chunk_interval or 'now'} (`--chunk-interval`), or a narrower range.",
    )


def _planning(before: Side, after: Side, old: Measured, new: Measured) -> Cause | None:
    read = _read(after, new)
    assert new.shape is not None
    planning, total = _gain(old, new, lambda r: r.planning_ms), _gain(old, new, lambda r: r.total_ms)
    if read is None or planning <= 0 or planning < HALF * total:
        return None
    if new.shape.planned_chunks < FEW:
        return Cause(
            "planning-a-hypertable",
            f"planning takes {milliseconds(planning)} more, although {plural(new.shape.planned_chunks, 'chunk')} of {read[1]} "
            "come into the plan: finding that out has its price, whatever the query does",
            "a prepared statement that is planned once saves it (`--plan generic` shows what that gives); or accept it "
            "(`--ignore-below MS`).",
        )
    old_ms, new_ms = (median(each.runs, lambda r: r.planning_ms) for each in (old, new))
    return Cause(
        "planning-over-chunks",
        f"planning takes {milliseconds(new_ms)} instead of {milliseconds(old_ms)}: "
        f"{plural(new.shape.planned_chunks, 'chunk')} of {read[1]} are planned",
        f"fewer chunks (a wider `--chunk-interval` before the cutover, set_chunk_time_interval for new chunks after it), a "
        f"condition on {_time(after)} with constants or parameters, or a prepared statement that is planned once (`--plan "
        "generic` shows what that gives).",
    )


def _index(before: Side, after: Side, old: Measured, new: Measured) -> Cause | None:
    assert new.shape is not None
    if old.shape is None:
        return None
    if _gain(old, new, lambda r: r.execution_ms) <= 0:
        return None
    used = [index for index in before.indexes if index.name in old.shape.indexes]
    missing = [index for index in used if _counterpart(index, after) is None]
    if missing:
        names = ", ".join(quoted_if_needed(index.name) for index in missing)
        return Cause(
            "index-missing",
            f"the {before.label} is read by {names}, and the {after.label} has no such index",
            "create it: "
            + "; ".join(f"CREATE INDEX ON {after.name} {index.tail}" for index in missing)
            + " (see docs/bench.md for how without blocking writers).",
        )
    unused = [index for index in used if (_counterpart(index, after) or index).name not in new.shape.indexes]
    execution, total = _gain(old, new, lambda r: r.execution_ms), _gain(old, new, lambda r: r.total_ms)
    if not unused or execution < HALF * total:
        return None
    instead = "is read in another way"
    if new.shape.sequential:
        instead = "is read from end to end"
    elif new.shape.indexes:
        instead = f"is read by {', '.join(new.shape.indexes)}"
    return Cause(
        "index-not-used",
        f"{', '.join(quoted_if_needed(index.name) for index in unused)} serves on the {before.label}; "
        f"the {after.label} {instead}",
        f"ANALYZE {after.name}, and measure again; where a chunk is small or most of it is wanted, reading it whole is "
        "right, and the loss has another cause.",
    )


def _counterpart(index: Index, side: Side) -> Index | None:
    """The other side's index that can serve for this one: the same definition, or the same with the time column behind."""
    same = next((each for each in side.indexes if each.tail == index.tail), None)
    if same is not None or side.time_column is None:
        return same
    # The server quotes what is a keyword of any kind too.
    spelled = (side.time_column, quote_ident(side.time_column))
    widened = [append_key_column(index.tail, name) for name in spelled]
    return next((each for each in side.indexes if each.tail in widened), None)


def _stale(after: Side) -> Cause | None:
    if not after.never_analyzed:
        return None
    what = (
        f"{plural(after.never_analyzed, 'chunk')} of the {after.label}"
        if after.chunks is not None
        else f"the {after.label}"
    )
    return Cause(
        "never-analyzed",
        f"{what} never had ANALYZE, so the plan rests on guesses",
        f"ANALYZE {after.name}, and measure again.",
    )


def _decompression(old: Measured, new: Measured) -> Cause | None:
    assert new.shape is not None
    was = old.shape is not None and old.shape.decompressed
    if not new.shape.decompressed or was or _gain(old, new, lambda r: r.execution_ms) <= 0:
        return None
    return Cause(
        "decompression",
        "rows of compressed chunks are decompressed, whole batches at a time",
        "have segmentby name the columns that the query asks for, and orderby the time; or compress only what is older than "
        "what such queries read.",
    )


def _jit(old: Measured, new: Measured) -> Cause | None:
    assert new.shape is not None
    if old.shape is None:
        return None
    extra = new.shape.jit_ms - old.shape.jit_ms
    if extra <= 0 or extra < HALF * _gain(old, new, lambda r: r.total_ms):
        return None
    return Cause(
        "jit",
        f"compiling (JIT) takes {milliseconds(new.shape.jit_ms)}: the estimated cost of many chunks together passes "
        "jit_above_cost",
        "raise jit_above_cost, or set jit = off for the roles that run such queries.",
    )


def _spill(old: Measured, new: Measured) -> Cause | None:
    assert new.shape is not None
    if old.shape is None:
        return None
    if not new.shape.spilled or old.shape.spilled:
        return None
    return Cause(
        "spills-to-disk",
        "a sort or a hash spills to disk, which it did not before",
        "raise work_mem for this query's role.",
    )


def _workers(old: Measured, new: Measured) -> Cause | None:
    assert new.shape is not None
    if old.shape is None:
        return None
    if new.shape.workers >= old.shape.workers or _gain(old, new, lambda r: r.execution_ms) <= 0:
        return None
    return Cause(
        "fewer-workers",
        f"{plural(old.shape.workers, 'parallel worker')} before, {new.shape.workers} now: chunks may be too small for them",
        "lower min_parallel_table_scan_size, or take a wider chunk interval.",
    )


def _disk(old: Measured, new: Measured) -> Cause | None:
    before, now = (median(each.runs, lambda r: r.read) for each in (old, new))
    if now <= before or now < HALF * median(new.runs, lambda r: r.hit + r.read):
        return None
    return Cause(
        "not-in-cache",
        f"{now:,.0f} pages a run are not in the server's cache, {before:,.0f} before",
        "measure again when the hypertable is in use, or with more --runs: what nobody reads yet is not cached.",
    )


def _wider(after: Side) -> str:
    return f"; or take a wider chunk interval than {after.chunk_interval}" if after.chunk_interval else ""


def notes(before: Side | None, after: Side, old: Measured | None, new: Measured) -> Sequence[str]:
    """What else is worth knowing, whatever the verdict."""
    found = []
    if old is not None and old.runs and new.runs:
        counts = [{run.draw: run.rows for run in each.runs} for each in (old, new)]
        differ = [draw for draw in counts[0] if draw in counts[1] and counts[0][draw] != counts[1][draw]]
        if differ:
            found.append(OTHER_ROWS)
    under = [each.shape.settings for each in (old, new) if each is not None and each.shape is not None]
    differing = sorted(name for name in {*under[0], *under[-1]} if under[0].get(name) != under[-1].get(name)) if under else []
    if differing:
        said = (f"{name} is {under[0].get(name, USUAL)} before and {under[-1].get(name, USUAL)} after" for name in differing)
        found.append(f"{OTHER_SETTINGS}: {', '.join(said)}")
    elif under and under[0]:
        found.append(f"planned under {', '.join(f'{name} = {value}' for name, value in sorted(under[0].items()))}")
    return found
