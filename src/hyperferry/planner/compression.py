"""Compression on the way: which columns segment and order a compressed chunk, and when a chunk is old enough."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import Refused, Usage
from ..model.inspection import Column, Inspection
from ..model.names import quote_ident
from ..model.plan import BatchBy, ChunkInterval, CompressedOrder, Identity, Plan, PlannedCompression, Strategy
from ..model.plan_options import CompressionWish
from .duration import DAY, duration_text, parse_duration

_ORDER = re.compile(
    r"""\s*(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>\S+?))(?:\s+(?P<way>ASC|DESC))?(?:\s+NULLS\s+(?P<nulls>FIRST|LAST))?\s*""",
    re.IGNORECASE,
)
_SEGMENTING = frozenset(
    f"pg_catalog.{name}"
    for name in (
        "bool", "int2", "int4", "int8", "oid", "text", "varchar", "name", "char", "uuid", "date", "bytea", "timestamp",
        "timestamptz",
    )
)  # fmt: skip
"""Types whose equal values are the same byte by byte. A segment keeps one value for all of its rows: of 1.0 and 1.00 one would be
left."""

_OLDEST = 6_000 * 365 * DAY
"""Microseconds. PostgreSQL's timestamps begin in 4714 BC."""


def plan_compression(
    inspection: Inspection,
    identity: Identity,
    batch_by: BatchBy,
    interval: ChunkInterval,
    strategy: Strategy,
    wish: CompressionWish | None,
) -> PlannedCompression | None:
    """What is done on the way; None where nothing was wished for. Raises Usage for a wish that makes no sense, Refused for a
    table whose chunks cannot be closed while it is copied."""
    if wish is None:
        return None
    if strategy is not Strategy.BLUE_GREEN:
        raise Usage(
            "Compression on the way belongs to the strategy blue-green: in-place has nothing under way.",
            remedy="leave --compress out, and compress the chunks once the table is a hypertable.",
        )
    if batch_by is not BatchBy.TIME:
        raise Refused(
            f"No chunk of {inspection.table.name} could be compressed on the way: without an index that begins with "
            f"{quote_ident(inspection.time_column)} it is not copied in the order of the time, and each chunk is "
            "filled until the end.",
            facts={"time column": inspection.time_column, "copied by": batch_by.value},
            remedy=f"CREATE INDEX CONCURRENTLY ON {inspection.table.name} ({quote_ident(inspection.time_column)}); "
            "or leave --compress out, and compress the chunks after the cutover.",
        )
    segment_by = tuple(_segment(inspection, name) for name in wish.segment_by or ())
    return PlannedCompression(
        segment_by, _order_by(inspection, identity, segment_by, wish.order_by), _after(interval, wish.after)
    )


def _column(inspection: Inspection, name: str, option: str) -> Column:
    column = inspection.column(name)
    if column is None:
        raise Usage(
            f"{inspection.table.name} has no column {name!r} to compress by.",
            facts={"columns": ", ".join(column.name for column in inspection.columns)},
            remedy=f"name one of these with {option}.",
        )
    if column.generated:
        raise Usage(
            f"The column {quote_ident(name)} is generated, and cannot be compressed by.",
            remedy=f"name another with {option}, or the columns that it is generated from.",
        )
    return column


def _segment(inspection: Inspection, name: str) -> str:
    column = _column(inspection, name, "--segment-by")
    if name == inspection.time_column:
        raise Usage(
            f"{quote_ident(name)} is the time column: nearly every row would be a segment of its own.",
            remedy="name the column that queries ask for one value of (a device, a customer) with --segment-by.",
        )
    if (column.base_type in _SEGMENTING or column.type_kind == "e") and column.deterministic:
        return name
    raise Refused(
        f"{inspection.table.name} cannot be segmented by {quote_ident(name)} without changing rows: a segment keeps "
        f"one value for all of its rows, and of type {column.type_sql} values that are equal need not be the same "
        "(1.0 and 1.00, 0 and -0, 'a' and 'A').",
        facts={"column": name, "type": column.type_sql, "collation": column.collation or "the type's default"},
        remedy="segment by a column of an integer type, a boolean, a uuid, a date or a text under an ordinary collation; "
        "or by none.",
    )


def _order_by(
    inspection: Inspection, identity: Identity, segment_by: tuple[str, ...], wish: Sequence[str] | None
) -> tuple[CompressedOrder, ...]:
    """As wished for, with the time at the end where it is not named. Otherwise the time, newest first, then the key: compressed
    batches note the least and greatest of what orders them, so a changed row is looked for in a batch or two."""
    time = inspection.time_column
    if wish:
        found = tuple(_order(inspection, text) for text in wish)
    else:
        keys = [column.name for column in identity.columns if column.name != time and column.less is not None]
        found = (
            CompressedOrder(time, descending=True, nulls_first=True),
            *(CompressedOrder(name, descending=False, nulls_first=False) for name in keys if name not in segment_by),
        )
    names = [each.column for each in found]
    twice = sorted({name for name in names if names.count(name) > 1 or name in segment_by})
    if twice:
        raise Usage(
            f"{', '.join(map(quote_ident, twice))} is to segment or to order compressed rows twice.",
            facts={"segment by": ", ".join(segment_by) or "nothing", "order by": ", ".join(names)},
            remedy="name each column once, with --segment-by or with --order-by.",
        )
    if time not in names:
        found = (*found, CompressedOrder(time, descending=True, nulls_first=True))
    return found


def _order(inspection: Inspection, text: str) -> CompressedOrder:
    if inspection.column(text) is not None:
        return CompressedOrder(text, descending=False, nulls_first=False)
    match = _ORDER.fullmatch(text)
    if match is None:
        raise Usage(
            f"The order {text!r} is not understood.",
            remedy="write a column, with ASC or DESC and NULLS FIRST or LAST behind it where wished: --order-by 'at DESC'.",
        )
    name = match["quoted"].replace('""', '"') if match["quoted"] else match["plain"]
    column = _column(inspection, name, "--order-by")
    descending = (match["way"] or "").upper() == "DESC"
    nulls = (match["nulls"] or "").upper()
    return CompressedOrder(column.name, descending, nulls == "FIRST" if nulls else descending)


def _after(interval: ChunkInterval, text: str | int | None) -> int:
    if text is None:
        return 0
    if isinstance(text, int):
        return text
    if not interval.integer:
        age = parse_duration(text)
        if age > _OLDEST:
            raise Usage(
                f"The age {text!r} lies before any time that PostgreSQL has.",
                facts={"--compress-after": text},
                remedy="give less, or leave --compress out, if nothing is to be compressed.",
            )
        return age
    if not re.fullmatch(r"\s*\d+\s*", text):
        raise Usage(
            f"The age {text!r} is not understood for an integer time column.",
            facts={"chunk interval": interval.width},
            remedy="give a number in the column's own unit, as the chunk interval has it.",
        )
    return int(text)


def wish_of(planned: PlannedCompression | None) -> CompressionWish | None:
    """The wish from which the same would be planned."""
    if planned is None:
        return None
    return CompressionWish(planned.segment_by, tuple(map(order_text, planned.order_by)), planned.after)


def order_text(order: CompressedOrder) -> str:
    """As ORDER BY takes it: `"at" DESC NULLS FIRST`."""
    return (
        f"{quote_ident(order.column)} {'DESC' if order.descending else 'ASC'} NULLS {'FIRST' if order.nulls_first else 'LAST'}"
    )


def compression_lines(plan: Plan) -> list[str]:
    """What `describe` says of it."""
    wish = plan.compression
    if wish is None:
        return []
    age = str(wish.after) if plan.interval.integer else duration_text(wish.after)
    when = (
        f"it ends {age} or more behind {'the greatest time' if plan.interval.integer else 'now'}"
        if wish.after
        else "its time is over" if not plan.interval.integer else "it lies behind the greatest time"
    )
    return [
        f"Compressed on the way: each chunk that is copied whole, once {when}",
        f"  segmented by {', '.join(map(quote_ident, wish.segment_by)) or 'nothing'}",
        f"  ordered by {', '.join(map(order_text, wish.order_by))}",
        "  each after a comparison with the table, and only if every row comes out of it as it went in",
    ]
