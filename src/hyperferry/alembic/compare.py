"""What autogenerate is told: what TimescaleDB or hyperferry made is not the application's, and what a model wants of its
hypertable."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy
from alembic.util import CommandError

from ..db import load_queries
from ..declared.parse import order
from ..declared.statements import order_text
from ..model.declared import OrderBy
from . import render
from .base import TableOperation
from .ops import CreateHypertableOp, SetChunkIntervalOp
from .policies import AddCompressionOp, AddRetentionOp
from .statements import Interval

KEY = "hyperferry"
"""Where a model's table says it: `__table_args__ = {"info": {"hyperferry": {"time": "game_date"}}}`."""

_OPTIONS = frozenset(
    {"time", "chunk_interval", "primary_key", "default_indexes", "compression", "retention", "skip_on_apache"}
)
_COMPRESSION = frozenset({"segment_by", "order_by", "after"})
_INTERNAL = re.compile(
    r"_timescaledb_\w+|timescaledb_information|timescaledb_experimental|hyperferry(_flag|_new_\d+|_old_\d+)?"
)
_log = logging.getLogger("hyperferry.alembic")


def is_ours(schema: str | None) -> bool:
    """Whether a schema is TimescaleDB's or hyperferry's own: internal schemas, the ledger's, a shadow's, an old table's."""
    return schema is not None and _INTERNAL.fullmatch(schema) is not None


def include_name(name: str | None, type_: str, parent_names: Mapping[str, Any]) -> bool:
    """For `include_name` in env.py, where comparisons are not loaded: leaves out the schemas that are not the application's."""
    return not is_ours(name if type_ == "schema" else parent_names.get("schema_name"))


def leave_ours_out(context: Any, upgrade_ops: Any, schemas: set[str | None]) -> None:
    """Before everything else: the schemas that are not the application's are not looked at, and indexes that TimescaleDB made by
    itself are not proposed to be dropped. A model that declares such an index has it compared as any other."""
    render.register()
    if context.dialect.name != "postgresql" or context.connection is None:
        return
    schemas.difference_update([schema for schema in schemas if is_ours(schema)])
    made = _made_by_timescaledb(context.connection)
    default = context.connection.dialect.default_schema_name

    def keep(found: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
        if type_ != "index" or not reflected or compare_to is not None:
            return True
        return (found.table.schema or default, found.table.name, name) not in made

    context._object_filters.append(keep)


def options(
    context: Any, modify_ops: Any, schema: str | None, name: str, found: Any, wanted: sqlalchemy.Table | None
) -> None:
    """What the model's table wants of its hypertable, and the database lacks, is proposed."""
    wishes = None if wanted is None else wanted.info.get(KEY)
    if wishes is None or context.dialect.name != "postgresql":
        return
    _checked(name, wishes)
    modify_ops.ops.extend(_lacking(context.connection, name, schema, wishes, there=found is not None))


def _checked(name: str, wishes: Any) -> None:
    """Raises CommandError for a key that is none, so that a misspelt one does not go unseen."""
    if not isinstance(wishes, Mapping) or "time" not in wishes:
        raise CommandError(
            f'The info "{KEY}" of the table {name} has to name its time column: {{"time": "game_date"}}'
        )
    compression = wishes.get("compression") or {}
    unknown = sorted((set(wishes) - _OPTIONS) | (set(compression) - _COMPRESSION))
    if unknown:
        words = ", ".join(unknown)
        known, more = ", ".join(sorted(_OPTIONS)), ", ".join(sorted(_COMPRESSION))
        raise CommandError(
            f'The info "{KEY}" of the table {name} has what is not known: {words}. '
            f"Known: {known}; in compression: {more}"
        )


def _lacking(
    connection: Any, name: str, schema: str | None, wishes: Mapping[str, Any], *, there: bool
) -> list[TableOperation]:
    state = _state(connection, name, schema, wishes)
    lacking: list[TableOperation] = []
    skip = bool(wishes.get("skip_on_apache", False))
    if not state.get("hypertable"):
        lacking.append(
            CreateHypertableOp(
                name,
                schema,
                **{
                    key: wishes[key]
                    for key in ("time", "chunk_interval", "primary_key", "default_indexes")
                    if key in wishes
                },
            )
        )
    elif state["time"] != wishes["time"]:
        raise CommandError(
            f"{name} is a hypertable by {state['time']}, and its model says by {wishes['time']}"
        )
    elif wishes.get("chunk_interval") is not None and not state["same_interval"]:
        lacking.append(
            SetChunkIntervalOp(
                name, schema, interval=wishes["chunk_interval"], existing=_length(state["interval"])
            )
        )
    if state.get("edition") == "apache" and (there or not skip):
        if wishes.get("compression") or wishes.get("retention"):
            _log.warning(
                "%s: compression and retention are not compared, for this is the Apache-2 edition", name
            )
        return lacking
    compression = wishes.get("compression")
    after = (compression or {}).get("after")
    # False: no policy.
    policy_lacks = (
        state.get("compress_after") is not None
        if after is False
        else after is not None and not state.get("same_compression")
    )
    more: dict[str, Any] = {"skip_on_apache": True} if skip else {}
    way: Mapping[str, Any] | None = None
    if compression and state.get("compressed"):
        way = _other_way(connection, name, schema, compression)
    if compression and (not state.get("compressed") or policy_lacks or way is not None):
        existing: dict[str, Any] = dict(way or {})
        if policy_lacks:
            existing["after"] = _length(state.get("compress_after")) or False
        before = {"existing": existing} if state.get("compressed") else {}
        lacking.append(AddCompressionOp(name, schema, **compression, **before, **more))
    if wishes.get("retention") and not state.get("same_retention"):
        was = _length(state.get("drop_after"))
        lacking.append(
            AddRetentionOp(
                name,
                schema,
                after=wishes["retention"],
                **({} if was is None else {"existing": was}),
                **more,
            )
        )
    return lacking


def _length(text: str | None) -> Interval | None:
    """A span of time, or a number of units, as the server prints it."""
    return int(text) if text is not None and text.isdigit() else text


def _other_way(
    connection: Any, name: str, schema: str | None, wish: Mapping[str, Any]
) -> dict[str, Any] | None:
    """By which columns and in which order chunks are compressed, where the model says otherwise; what it does not say is not
    compared. None where it is as the model says."""
    queries = load_queries(__package__, "compare.sql")
    columns, wanted = wish.get("segment_by"), order(list(wish.get("order_by") or ()))
    if columns is None and not wanted:
        return None
    if not connection.execute(sqlalchemy.text(queries["has_settings"].as_string(None))).scalar():
        return None
    at = {"schema": schema or connection.dialect.default_schema_name, "name": name}
    row = connection.execute(sqlalchemy.text(queries["settings"].as_string(None)), at).mappings().first()
    found = dict(row or {})
    ordered = list(
        zip(*(found.get(key) or () for key in ("order_by", "descending", "nulls_first")), strict=True)
    )
    ways = [(each.column, each.descending, each.nulls_come_first) for each in wanted]
    # TimescaleDB adds the time at the end where it is not named.
    in_order = not ways or (ordered[: len(ways)] == ways and len(ordered) <= len(ways) + 1)
    if in_order and (columns is None or list(columns) == list(found.get("segment_by") or ())):
        return None
    return {
        "segment_by": list(found.get("segment_by") or ()),
        "order_by": [order_text(OrderBy(*each)) for each in ordered],
    }


def _state(connection: Any, name: str, schema: str | None, wishes: Mapping[str, Any]) -> dict[str, Any]:
    queries = load_queries(__package__, "compare.sql")
    edition = connection.execute(sqlalchemy.text(queries["edition"].as_string(None))).scalar()
    if edition is None:
        return {}
    asked = {
        "interval": wishes.get("chunk_interval"),
        "compress": (wishes.get("compression") or {}).get("after") or None,
        "drop": wishes.get("retention"),
    }
    # A number of an integer column's units, or a span of time: only what it is may be read as such.
    units = {f"{key}_units": value if isinstance(value, int) else None for key, value in asked.items()}
    spans = {f"{key}_span": value if isinstance(value, str) else None for key, value in asked.items()}
    row = (
        connection.execute(
            sqlalchemy.text(queries["state"].as_string(None)),
            {"schema": schema or connection.dialect.default_schema_name, "name": name, **units, **spans},
        )
        .mappings()
        .first()
    )
    return {"edition": edition, **(row or {})}


def _made_by_timescaledb(connection: Any) -> frozenset[tuple[str, str, str]]:
    queries = load_queries(__package__, "compare.sql")
    if connection.execute(sqlalchemy.text(queries["edition"].as_string(None))).scalar() is None:
        return frozenset()
    rows: Sequence[Any] = connection.execute(
        sqlalchemy.text(queries["default_indexes"].as_string(None))
    ).all()
    return frozenset((row[0], row[1], row[2]) for row in rows)
