"""How large a table or an index would be if it held nothing but its rows: an estimate from the catalogs alone.

Source: the layout of a page as PostgreSQL's documentation describes it ("Database Page Layout", "B-Tree Indexes:
Implementation"). A page has a header of 24 bytes and a line pointer of 4 for each tuple. A heap tuple has a header of 23
bytes, a bitmap of a bit for each column where any is NULL, and both together are rounded up to 8; an index tuple has one of 8,
or 16 with a bitmap. Values stand in the columns' order, each at a multiple of its type's alignment; one of varying length that
is shorter than 127 bytes has a header of one byte and none. Widths and shares of NULLs are those of the last ANALYZE, the
number of rows and of pages those of the last VACUUM or ANALYZE. A B-tree's leaf has 16 bytes of its own at the end and is
filled to `fillfactor`; equal keys share one entry with 6 bytes a row (PostgreSQL 13), which is reckoned with as if all columns
were independent. So the estimate is rather too high than too low, and a bloat that is told of is there; some bloat is not told
of. `--exact` measures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..model.health import Column, IndexFacts, Relation, Width

PAGE_HEADER = 24
LINE_POINTER = 4
HEAP_HEADER = 23
INDEX_HEADER = 8
SPECIAL = 16
SHORT = 127
POSTING = 6


@dataclass(frozen=True)
class Bloat:
    """A relation's bytes, and how many of them its rows do not need."""

    bytes: int
    wasted: int

    @property
    def share(self) -> float:
        """The part that is wasted, 0 to 1."""
        return self.wasted / self.bytes if self.bytes else 0.0


def _aligned(offset: float, align: int) -> float:
    return math.ceil(offset / align) * align


def data_bytes(columns: Sequence[Column], widths: Mapping[str, Width]) -> float | None:
    """The average bytes of a tuple's values with what alignment adds; None where a column's width is not known."""
    offset = 0.0
    for column in columns:
        width = widths.get(column.name)
        if width is None:
            return None
        if width.nulls >= 1:
            continue
        stored = column.length if column.length > 0 else width.bytes
        align = 1 if column.length < 0 and stored < SHORT else column.align
        offset += (_aligned(offset, align) - offset + stored) * (1 - width.nulls)
    return offset


def heap_tuple_bytes(columns: Sequence[Column], widths: Sequence[Width]) -> float | None:
    """The average bytes of a row on its page, line pointer included; None where a width is not known."""
    known = {width.column: width for width in widths}
    data = data_bytes(columns, known)
    if data is None or not columns:
        return None
    bitmap = (len(columns) + 7) // 8 if any(width.nulls > 0 for width in widths) else 0
    return LINE_POINTER + _aligned(HEAP_HEADER + bitmap, 8) + _aligned(data, 8)


def table_bloat(relation: Relation, columns: Sequence[Column], block: int) -> Bloat | None:
    """What of the table's pages its rows do not need; None where nothing tells. `relation.rows` and `.pages` have to be of the
    same moment."""
    if relation.rows < 0 or relation.pages == 0:
        return None
    row = heap_tuple_bytes(columns, relation.widths)
    if row is None:
        return None
    fill = int(relation.option("fillfactor") or 100) / 100
    on_a_page = max(1.0, (block - PAGE_HEADER) * fill // row)
    needed = math.ceil(relation.rows / on_a_page)
    return _of(relation.pages, needed, block)


def index_bloat(index: IndexFacts, columns: Iterable[Column], widths: Sequence[Width], block: int) -> Bloat | None:
    """What of a B-tree's pages its entries do not need; None for other methods, expressions, partial indexes and where nothing
    tells."""
    if index.method != "btree" or index.partial or index.rows < 0 or index.pages == 0 or None in index.columns:
        return None
    by_name = {column.name: column for column in columns}
    known = {width.column: width for width in widths}
    stored = [by_name[name] for name in index.columns if name in by_name]
    data = data_bytes(stored, known) if len(stored) == len(index.columns) else None
    if data is None:
        return None
    nullable = any(known[column.name].nulls > 0 for column in stored)
    entry = LINE_POINTER + _aligned((16 if nullable else INDEX_HEADER) + data, 8)
    rows = index.rows
    groups = rows if index.unique else min(rows, _distinct([known[c.name] for c in stored], rows))
    needed_bytes = min(rows * entry, groups * entry + rows * (POSTING + 1))
    on_leaves = (block - PAGE_HEADER - SPECIAL) * index.fillfactor / 100
    leaves = math.ceil(needed_bytes / on_leaves)
    inner = math.ceil(leaves * entry / on_leaves)
    return _of(index.pages, 1 + leaves + inner, block)


def _distinct(widths: Sequence[Width], rows: float) -> float:
    """How many different keys there can be: the product of the columns' own numbers."""
    product = 1.0
    for width in widths:
        product *= max(1.0, width.distinct if width.distinct >= 0 else -width.distinct * rows)
    return product


def _of(pages: int, needed: int, block: int) -> Bloat:
    return Bloat(pages * block, max(0, pages - needed) * block)
