"""The width of a chunk: given, or by the vendor's rule from the data's span and size, with the arithmetic
shown.

The rule (TimescaleDB's documentation, "Hypertables: partition intervals"): the indexes of the chunks that are
being written should fit in 25 % of the memory; the default is 7 days; more than about 10,000 chunks hurts
planning. The memory that is known of a server from within is shared_buffers. Our own bound on the number of
chunks is lower: ANALYZE, planning and locks all pay for each one, and 1,000 of them leave room to grow. Nor is a
table cut into more than 100 chunks that hold next to nothing: measured on 286 chunks of 1 MB, a query that cannot exclude chunks
spends its time in planning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from ..errors import Refused, Usage
from ..model.inspection import Column, Inspection
from ..model.names import quote_ident
from ..model.plan import ChunkInterval
from .duration import DAY, HOUR, SECOND, duration_text, parse_duration

MEMORY_SHARE = 0.25
DEFAULT_WIDTH = 7 * DAY
STEPS = (
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 3, 7, 14, 30, 60, 90, 180, 365, 730, 1825, 3650)),
)
MANY_CHUNKS = 1_000
TOO_MANY_CHUNKS = 10_000
ENOUGH_CHUNKS = 100
SMALL_CHUNK = 8 * 1024 * 1024
"""Bytes, indexes included: beyond ENOUGH_CHUNKS, smaller chunks are joined."""

# Seconds since 1970 of 1990-01-01 and 2100-01-01: between them a number is taken for a time (peers:
# milliseconds taken for microseconds).
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800
_INTEGER_UNITS = (
    ("seconds", 1),
    ("milliseconds", 1_000),
    ("microseconds", 1_000_000),
    ("nanoseconds", 1_000_000_000),
)
_INTEGER_MAX = {"pg_catalog.int2": 2**15 - 1, "pg_catalog.int4": 2**31 - 1, "pg_catalog.int8": 2**63 - 1}


@dataclass(frozen=True)
class _Unit:
    """The unit of an integer column: its name, units a second, and how it was found."""

    name: str
    per_second: int
    reason: str


def choose_interval(inspection: Inspection, time: Column, given: str | None) -> ChunkInterval:
    """The interval for the time column. Raises Refused where an integer column does not tell its unit."""
    if time.base_type in _INTEGER_MAX:
        return _integer_interval(inspection, time, given)
    whole_days = time.base_type == "pg_catalog.date"
    if given is not None:
        width = _given_width(given, whole_days)
        reason = (f"{duration_text(width)}: given", *_consequence(inspection, width))
    else:
        width, reason = _computed(inspection, whole_days=whole_days)
    return ChunkInterval(
        literal=f"INTERVAL '{duration_text(width)}'", width=width, integer=False, reason=reason
    )


def _given_width(given: str, whole_days: bool) -> int:
    if re.fullmatch(r"[0-9]+(_[0-9]+)*", given.strip(), re.ASCII):
        raise Usage(
            f"The chunk interval {given!r} has no unit.",
            facts={"given": given},
            remedy="write '7 days' or '12 hours'; a bare number is for integer time columns alone.",
        )
    width = parse_duration(given)
    if whole_days and width % DAY:
        raise Usage(
            f"The chunk interval {given!r} is not a whole number of days, and the time column is a date.",
            facts={"given": given},
            remedy="give whole days, such as '1 day' or '7 days'.",
        )
    return width


def _integer_interval(inspection: Inspection, time: Column, given: str | None) -> ChunkInterval:
    if given is not None and re.fullmatch(r"[0-9]+(_[0-9]+)*", given.strip(), re.ASCII):
        width = int(given.strip())
        if width < 1 or width > _INTEGER_MAX[time.base_type]:
            raise Usage(
                f"The chunk interval {given!r} does not fit the column {quote_ident(time.name)}.",
                facts={"given": given, "type": time.type_sql, "largest value": _INTEGER_MAX[time.base_type]},
                remedy="give a number between 1 and the type's largest value.",
            )
        return ChunkInterval(str(width), width, True, (f"{width} in the column's own unit: given",))
    unit = _guess_unit(inspection, time)
    if given is not None:
        microseconds = parse_duration(given)
        lines: tuple[str, ...] = (
            f"{duration_text(microseconds)}: given",
            *_consequence(inspection, microseconds, unit),
        )
    else:
        microseconds, lines = _computed(inspection, unit=unit)
    width = microseconds * unit.per_second // SECOND
    if width < 1 or width > _INTEGER_MAX[time.base_type]:
        raise Usage(
            f"The chunk interval {duration_text(microseconds)} does not fit the column "
            f"{quote_ident(time.name)}.",
            facts={"in the column's unit": width, "unit": unit.name, "type": time.type_sql},
            remedy="give another interval, as a number in the column's own unit.",
        )
    return ChunkInterval(
        str(width), width, True, (unit.reason, *lines, f"{duration_text(microseconds)} = {width} {unit.name}")
    )


def _guess_unit(inspection: Inspection, time: Column) -> _Unit:
    scan = inspection.scan
    low, high = _as_int(scan.minimum if scan else None), _as_int(scan.maximum if scan else None)
    if low is not None and high is not None:
        for name, per_second in _INTEGER_UNITS:
            if _EARLIEST * per_second <= low and high <= _LATEST * per_second:
                first, last = (datetime.fromtimestamp(v / per_second, UTC).date() for v in (low, high))
                return _Unit(
                    name,
                    per_second,
                    f"the values of {quote_ident(time.name)}, {low} to {high}, are taken for {name} since "
                    f"1970: {first} to {last}",
                )
    raise Refused(
        f"The unit of the integer column {quote_ident(time.name)} cannot be told from its values.",
        facts={
            "values": f"{low} to {high}" if low is not None else "not known (not scanned, or no rows)",
            "looked for": "seconds, milliseconds, microseconds or nanoseconds since 1970, between 1990 and "
            "2100",
        },
        remedy="give --chunk-interval as a number in the column's own unit.",
    )


def _computed(
    inspection: Inspection, *, whole_days: bool = False, unit: _Unit | None = None
) -> tuple[int, tuple[str, ...]]:
    """The largest step up to 7 days whose indexes fit in a quarter of the memory, widened where that makes
    too many chunks."""
    span = _span(inspection, unit)
    if span is None:
        return DEFAULT_WIDTH, ("7 days: TimescaleDB's default (the span of the data is not known)",)
    memory = inspection.server.shared_buffers_bytes * MEMORY_SHARE
    size = inspection.table.index_bytes
    steps = [step for step in STEPS if not whole_days or step % DAY == 0]
    fitting = [step for step in steps if step <= DEFAULT_WIDTH and size * min(1.0, step / span) <= memory]
    width = fitting[-1] if fitting else steps[0]
    lines = [
        f"the rows span {_days(span)}; their indexes take {_bytes(size)}, so "
        f"{_bytes(size * min(1.0, DEFAULT_WIDTH / span))} "
        f"for each 7 days; a quarter of shared_buffers ({_bytes(inspection.server.shared_buffers_bytes)}) "
        f"is {_bytes(memory)}"
    ]
    if width == DEFAULT_WIDTH:
        lines.append(
            "7 days (TimescaleDB's default): the indexes of one chunk fit in a quarter of the memory"
        )
    elif fitting:
        lines.append(
            f"{duration_text(width)}: the largest step whose indexes "
            f"({_bytes(size * min(1.0, width / span))}) fit in that"
        )
    else:
        lines.append(f"{duration_text(width)}: the smallest step, although its indexes do not fit in that")
    total = inspection.table.total_bytes
    if _wanting(span, width, total):
        wider = next((step for step in steps if step > width and not _wanting(span, step, total)), steps[-1])
        lines.append(
            f"widened to {duration_text(wider)}: {duration_text(width)} would make {_chunks(span, width):,} "
            f"chunks of {_bytes(total * min(1.0, width / span))}, {duration_text(wider)} makes "
            f"{_chunks(span, wider):,} of {_bytes(total * min(1.0, wider / span))}, with "
            f"{_bytes(size * min(1.0, wider / span))} of indexes each"
        )
        width = wider
    else:
        lines.append(f"that makes about {_chunks(span, width):,} chunks")
    return width, tuple(lines)


def _wanting(span: int, width: int, total_bytes: int) -> bool:
    """Too many chunks, or many chunks with next to nothing in each."""
    chunks = _chunks(span, width)
    return chunks > MANY_CHUNKS or (chunks > ENOUGH_CHUNKS and total_bytes * width < SMALL_CHUNK * span)


def _consequence(inspection: Inspection, width: int, unit: _Unit | None = None) -> tuple[str, ...]:
    """What a given interval means: chunks and index bytes of one."""
    span = _span(inspection, unit)
    if span is None:
        return ()
    chunks = _chunks(span, width)
    size = inspection.table.index_bytes * min(1.0, width / span)
    line = (
        f"that makes about {chunks:,} chunks with {_bytes(size)} of indexes each; "
        f"a quarter of shared_buffers is {_bytes(inspection.server.shared_buffers_bytes * MEMORY_SHARE)}"
    )
    if chunks > TOO_MANY_CHUNKS:
        line += f"; more than {TOO_MANY_CHUNKS:,} chunks make planning slow"
    return (line,)


def _span(inspection: Inspection, unit: _Unit | None) -> int | None:
    """Microseconds of time that hold rows: from the first to the last row, or the sum of the intervals that
    are in use, whichever is less, so that a gap or a stray row counts for little. None where it is not known
    or there are no rows."""
    scan = inspection.scan
    if scan is None or scan.minimum is None or scan.maximum is None:
        return None
    spans: list[int] = []
    if unit is not None:
        low, high = _as_int(scan.minimum), _as_int(scan.maximum)
        if low is not None and high is not None:
            spans.append((high - low) * SECOND // unit.per_second)
    else:
        first, last = _as_time(scan.minimum), _as_time(scan.maximum)
        if first is not None and last is not None:
            difference = last - first
            spans.append(difference.days * DAY + difference.seconds * SECOND + difference.microseconds)
    bucket = _bucket_width(scan.interval, unit)
    if bucket and scan.buckets:
        spans.append(scan.buckets * bucket)
    return max(min(spans), 1) if spans else None


def _bucket_width(interval: str, unit: _Unit | None) -> int | None:
    number = _as_int(interval)
    if number is not None:
        return number * SECOND // unit.per_second if unit is not None else None
    try:
        return parse_duration(interval)
    except Usage:
        return None


def _chunks(span: int, width: int) -> int:
    """Chunks are aligned to fixed bounds, so the rows touch at most one more than their span holds."""
    return span // width + 1


def _as_int(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _as_time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None  # before year 1 or after 9999, or a uuid
    if type(found) is date:
        found = datetime.combine(found, datetime.min.time())
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _days(microseconds: int) -> str:
    return f"{microseconds / DAY:,.1f} days"


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    return ""
