"""The sections of hyperferry.toml about the declared state -> `Declared`. Pure: what the database has of it is asked later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from ..model.declared import (
    Compression,
    ContinuousAggregate,
    Declared,
    DeclaredIndex,
    OrderBy,
    Refresh,
    Reorder,
    Retention,
)
from ..model.names import name_parts
from .section import (
    Section,
    schedule,
    some_texts,
    span,
    span_or_false,
    span_or_zero,
    text,
    texts,
    yes_or_no,
)

SECTIONS = ("compression", "retention", "reorder", "index", "continuous_aggregate", "updates_within")
"""The keys of the file that are read here. `chunk_interval` is a setting of its own."""

MOST_BYTES = 63
"""The longest name that PostgreSQL keeps."""

_ORDER = re.compile(
    r'(?P<column>"(?:[^"]|"")+"|[^\s"]+)(?:\s+(?P<way>ASC|DESC))?(?:\s+NULLS\s+(?P<nulls>FIRST|LAST))?',
    re.IGNORECASE,
)


def parse_declared(values: Mapping[str, Any], file: str) -> Declared:
    """What the file wants. `values` are its keys, of which `SECTIONS` are read. Raises Usage that names section and key."""
    top = Section({name: values[name] for name in SECTIONS if name in values}, "the file", file)
    return Declared(
        updates_within=top.take("updates_within", span, None),
        compression=_compression(values["compression"], "[compression]", file)
        if "compression" in values
        else None,
        retention=_retention(values["retention"], "[retention]", file) if "retention" in values else None,
        reorder=_reorder(values["reorder"], file) if "reorder" in values else None,
        indexes=_indexes(values.get("index", []), "[[index]]", file),
        aggregates=_aggregates(values.get("continuous_aggregate", []), file),
    )


def _compression(value: object, where: str, file: str) -> Compression:
    if isinstance(value, bool):
        return Compression(enabled=value)
    section = Section(value, where, file)
    found = Compression(
        enabled=True,
        segment_by=section.take("segment_by", _columns, None),
        order_by=section.take("order_by", order, None),
        after=section.take("after", span_or_false, None),
        schedule=section.take("schedule", schedule, None),
        on_the_way=section.take("on_the_way", yes_or_no, False),
    )
    section.end()
    if found.schedule is not None and not found.after:
        raise section.wrong(
            f"{where} has a schedule and no `after`: there is no policy to be scheduled", "schedule"
        )
    return found


def _retention(value: object, where: str, file: str) -> Retention | Literal[False]:
    if value is False:
        return False
    section = Section(value, where, file)
    found = Retention(section.need("after", span), section.take("schedule", schedule, None))
    section.end()
    return found


def _reorder(value: object, file: str) -> Reorder | Literal[False]:
    if value is False:
        return False
    section = Section(value, "[reorder]", file)
    found = Reorder(section.need("index", _name), section.take("schedule", schedule, None))
    section.end()
    return found


def _indexes(value: object, where: str, file: str) -> tuple[DeclaredIndex, ...]:
    found: list[DeclaredIndex] = []
    for number, each in enumerate(_list(value, where, file), 1):
        section = Section(each, f"{where} number {number}", file)
        index = DeclaredIndex(
            name=section.take("name", _name, None),
            columns=section.need("columns", some_texts),
            include=section.take("include", _columns, ()) or (),
            where=section.take("where", text, None),
            unique=section.take("unique", yes_or_no, False),
            method=section.take("method", _word, "btree"),
        )
        section.end()
        if index in found or (index.name is not None and index.name in [other.name for other in found]):
            raise section.wrong(f"{where} number {number} stands there twice", "name", "keep one of them.")
        found.append(index)
    return tuple(found)


def _aggregates(value: object, file: str) -> tuple[ContinuousAggregate, ...]:
    found: list[ContinuousAggregate] = []
    for number, each in enumerate(_list(value, "[[continuous_aggregate]]", file), 1):
        section = Section(each, f"[[continuous_aggregate]] number {number}", file)
        name = section.need("name", _qualified)
        section.where = where = f"[[continuous_aggregate]] {name}"
        aggregate = ContinuousAggregate(
            name=name,
            query=section.need("query", _query),
            materialized_only=section.take("materialized_only", yes_or_no, None),
            refresh=section.take("refresh", partial(_refresh, where=f"{where}, refresh", file=file), None),
            indexes=section.take("index", partial(_indexes, where=f"{where}, index", file=file), ()),
            compression=section.take(
                "compression", partial(_compression, where=f"{where}, compression", file=file), None
            ),
            retention=section.take(
                "retention", partial(_retention, where=f"{where}, retention", file=file), None
            ),
        )
        section.end()
        if any(name_parts(other.name) == name_parts(name) for other in found):
            raise section.wrong(
                f"the continuous aggregate {name} stands there twice", "name", "keep one of them."
            )
        if aggregate.compression is not None and aggregate.compression.on_the_way:
            raise section.wrong("on_the_way is for the table's own compression", "compression.on_the_way")
        found.append(aggregate)
    return tuple(found)


def _refresh(value: object, where: str, file: str) -> Refresh | Literal[False]:
    if value is False:
        return False
    section = Section(value, where, file)
    found = Refresh(
        schedule=section.need("schedule", schedule),
        start_offset=section.take("start_offset", span, None),
        end_offset=section.take("end_offset", span_or_zero, None),
    )
    section.end()
    first, last = found.start_offset, found.end_offset
    if first is not None and last is not None and first.integer == last.integer and first.about <= last.about:
        raise section.wrong(
            f"the refresh window of {where} is empty: start_offset ({first}) must be longer ago than end_offset ({last})",
            "start_offset",
        )
    return found


def _list(value: object, where: str, file: str) -> list[object]:
    if isinstance(value, list):
        return value
    name = where.strip("[]")
    raise Section({}, where, file).wrong(
        f"{name} is to be a list: each one begins with a line {where if where.startswith('[[') else '[[' + name + ']]'}"
    )


def _name(value: object) -> str:
    """The name of an index as SQL reads it: folded outside quotes."""
    found = column_name(text(value))
    if len(found.encode()) > MOST_BYTES:
        raise ValueError(
            f"{found!r} has {len(found.encode())} bytes; PostgreSQL would cut it to {MOST_BYTES}"
        )
    return found


def _qualified(value: object) -> str:
    """name or schema.name, as in SQL."""
    found = text(value)
    parts = name_parts(found)
    if len(parts) > 2:
        raise ValueError(f"{found!r} has {len(parts)} parts; name or schema.name is expected")
    for part in parts:
        if len(part.encode()) > MOST_BYTES:
            raise ValueError(
                f"{part!r} has {len(part.encode())} bytes; PostgreSQL would cut it to {MOST_BYTES}"
            )
    return found


def _columns(value: object) -> tuple[str, ...]:
    """Columns as SQL reads their names: folded to lower case outside quotes. A name with other signs may stand as it is."""
    return tuple(column_name(each) for each in texts(value))


def column_name(written: str) -> str:
    """The column that is meant: within quotes every character stands for itself, else it is folded as SQL folds it."""
    if re.fullmatch(r'"(?:[^"]|"")+"', written):
        return written[1:-1].replace('""', '"')
    return written.lower()


def order(value: object) -> tuple[OrderBy, ...]:
    found: list[OrderBy] = []
    for each in texts(value):
        match = _ORDER.fullmatch(each)
        if match is None:
            raise ValueError(
                f"{each!r} is not a column with ASC or DESC, and NULLS FIRST or NULLS LAST, after it"
            )
        nulls = None if match["nulls"] is None else match["nulls"].upper() == "FIRST"
        found.append(OrderBy(column_name(match["column"]), (match["way"] or "").upper() == "DESC", nulls))
        if [other.column for other in found].count(found[-1].column) > 1:
            raise ValueError(f"the column {found[-1].column!r} stands there twice")
    return tuple(found)


def _word(value: object) -> str:
    found = text(value).lower()
    if not found.isidentifier():
        raise ValueError(f"{found!r} is not the name of an index method, such as btree, brin, gin, hash")
    return found


def _query(value: object) -> str:
    """A query without the semicolon at its end."""
    found = text(value).rstrip("; \n\t")
    if not re.match(r"(?is)(\s|--[^\n]*\n|/\*.*?\*/|\()*(select|with)\b", found):
        raise ValueError("it does not begin with SELECT")
    return found
