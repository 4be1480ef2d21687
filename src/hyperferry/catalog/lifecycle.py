"""What the database has of a hypertable's life -> `model.lifecycle`. TimescaleDB is read through its information views alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import sql

from ..db import fetch_all, fetch_one, fetch_value, load_queries
from ..db.connection import Connection
from ..errors import Refused, Usage
from ..model.declared import OrderBy, Span
from ..model.definitions import tokens
from ..model.lifecycle import (
    AggregateState,
    CompressionState,
    HypertableState,
    IndexState,
    JobKind,
    JobState,
    ServerState,
)
from ..model.names import TableName
from .capabilities import CAPABILITIES, version_of
from .records import records

_KINDS = {
    "policy_retention": JobKind.RETENTION,
    "policy_compression": JobKind.COMPRESSION,
    "policy_refresh_continuous_aggregate": JobKind.REFRESH,
    "policy_reorder": JobKind.REORDER,
}


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "lifecycle.sql")[name]


def lifecycle(conn: Connection, table: TableName) -> tuple[HypertableState, ServerState]:
    """What the hypertable has, and the server's part in it. Raises Usage for no hypertable, Refused without TimescaleDB."""
    version, edition, session, functions = fetch_one(conn, _query("edition")) or (None, "apache", "", "")
    if version is None:
        raise Refused(
            "TimescaleDB is not in this database.",
            facts={"database": conn.info.dbname},
            remedy="CREATE EXTENSION timescaledb, or connect to the database that has it.",
        )
    found = records(conn, _query("hypertable"), _of(table))
    if not found:
        raise _no_hypertable(conn, table)
    row = found[0]
    server = ServerState(
        version,
        edition,
        functions,
        session,
        acts_as_owner=row["acts_as_owner"],
        owner_may_login=row["owner_may_login"],
        columnstore=version_of(version) >= CAPABILITIES["columnstore"].since,
        aggregate_trigger=version_of(version) < CAPABILITIES["triggerless_aggregates"].since,
        settings_change=version_of(version) >= CAPABILITIES["changed_compression"].since,
    )
    chunks, compressed = _chunks(conn, table)
    state = HypertableState(
        name=table,
        oid=row["oid"],
        owner=row["owner"],
        time_column=row["time_column"],
        time_type=row["time_type"],
        interval=Span(units=row["integer_interval"])
        if row["integer_interval"] is not None
        else Span(row["months"], row["microseconds"]),
        now_function=fetch_value(conn, _query("now_function"), {**_of(table), "column": row["time_column"]}),
        partition_columns=row["partition_columns"],
        columns=row["columns"],
        row_security=row["row_security"],
        indexes=_indexes(conn, table),
        compression=_compression(conn, table, row["compression_enabled"]),
        jobs=_jobs(conn, table, table),
        chunks=chunks,
        compressed=compressed,
        aggregates=_aggregates(conn, table),
    )
    return state, server


def aggregate_names(conn: Connection) -> frozenset[TableName]:
    """Every continuous aggregate of this database."""
    return frozenset(TableName(row[0], row[1]) for row in fetch_all(conn, _query("aggregates")))


def _aggregates(conn: Connection, table: TableName) -> tuple[AggregateState, ...]:
    """All that are made from the table, each after those that it reads."""
    rows = fetch_all(conn, _query("aggregates"))
    hidden = {TableName(row[6], row[7]): TableName(row[0], row[1]) for row in rows}
    found: dict[TableName, AggregateState] = {}
    known = {table}
    while True:
        fresh = [
            row for row in rows if _reads(row, hidden) in known and TableName(row[0], row[1]) not in found
        ]
        if not fresh:
            return tuple(found.values())
        for row in fresh:
            name = TableName(row[0], row[1])
            found[name] = _aggregate(conn, name, row, _reads(row, hidden))
            known.add(name)


def _reads(row: tuple[Any, ...], hidden: Mapping[TableName, TableName]) -> TableName:
    """What it is made from; another continuous aggregate by its own name, whichever the version's view gives."""
    source = TableName(row[8], row[9])
    return hidden.get(source, source)


def _aggregate(conn: Connection, name: TableName, row: tuple[Any, ...], reads: TableName) -> AggregateState:
    materialization = TableName(row[6], row[7])
    chunks, compressed = _chunks(conn, materialization)
    return AggregateState(
        name=name,
        owner=row[2],
        reads=reads,
        materialization=materialization,
        time_column=fetch_value(conn, _query("time_column"), _of(materialization)),
        query=squeezed(row[5]),
        materialized_only=row[3],
        compression=_compression(conn, materialization, row[4]),
        jobs=_jobs(conn, name, materialization),
        indexes=_indexes(conn, materialization),
        columns=tuple(fetch_value(conn, _query("view_columns"), _of(name)) or ()),
        chunks=chunks,
        compressed=compressed,
    )


def squeezed(text: str) -> str:
    """A query that PostgreSQL printed, on one line and without its semicolon, so that two can be compared."""
    found: list[str] = []
    for token in tokens(text.strip().rstrip(";")):
        part = " " if token.text.isspace() else token.text
        if part != " " or found[-1:] != [" "]:
            found.append(part)
    return "".join(found)


def _chunks(conn: Connection, table: TableName) -> tuple[int, int]:
    row = fetch_one(conn, _query("chunks"), _of(table)) or (0, 0)
    return int(row[0]), int(row[1])


def _indexes(conn: Connection, table: TableName) -> tuple[IndexState, ...]:
    return tuple(
        IndexState(**{**row, "definition": _tail(row["definition"])})
        for row in records(conn, _query("indexes"), _of(table))
    )


def _tail(definition: str) -> str:
    """What stands behind the table's name: from USING on."""
    return definition[next(t.start for t in tokens(definition) if t.depth == 0 and t.text == "USING") :]


def _compression(conn: Connection, table: TableName, enabled: bool) -> CompressionState:
    rows = fetch_all(conn, _query("compression"), _of(table))
    return CompressionState(
        enabled=bool(enabled),
        segment_by=tuple(row[0] for row in rows if row[1] is not None),
        order_by=tuple(OrderBy(row[0], not row[3], bool(row[4])) for row in rows if row[2] is not None),
    )


def _jobs(conn: Connection, table: TableName, hidden: TableName) -> tuple[JobState, ...]:
    rows = records(
        conn, _query("jobs"), {**_of(table), "hidden_schema": hidden.schema, "hidden_name": hidden.name}
    )
    return tuple(_job(row) for row in rows)


def _job(row: Mapping[str, Any]) -> JobState:
    spans = row["spans"] or {}
    kind = _KINDS[row["procedure"]]
    after = {JobKind.RETENTION: "drop_after", JobKind.COMPRESSION: "compress_after"}.get(kind, "")
    schedule = _span(row["schedule"])
    assert schedule is not None
    return JobState(
        id=row["id"],
        kind=kind,
        schedule=schedule,
        owner=row["owner"],
        scheduled=row["scheduled"],
        after=_span(spans.get(after)),
        created_before=_span(spans.get("drop_created_before")) if kind is JobKind.RETENTION else None,
        start_offset=_span(spans.get("start_offset")),
        end_offset=_span(spans.get("end_offset")),
        index=row["index"],
    )


def _span(value: Mapping[str, int] | None) -> Span | None:
    if value is None:
        return None
    if "units" in value:
        return Span(units=int(value["units"]))
    return Span(int(value["months"]), int(value["us"]))


def _of(table: TableName) -> dict[str, str]:
    return {"schema": table.schema, "name": table.name}


def _no_hypertable(conn: Connection, table: TableName) -> Usage:
    kind = fetch_value(
        conn,
        "SELECT c.relkind::text FROM pg_class c WHERE c.oid = to_regclass(%s)",
        [table.quoted],
    )
    names = {
        "r": "a plain table",
        "v": "a view",
        "m": "a materialized view",
        "p": "a partitioned table",
        "f": "a foreign table",
    }
    aggregate = table in aggregate_names(conn)
    is_what = "a continuous aggregate" if aggregate else names.get(str(kind), "something else")
    remedy = "name the hypertable."
    if aggregate:
        remedy = "name the hypertable that it is made from: the file of that one declares it, as [[continuous_aggregate]]."
    elif kind == "r":
        remedy = (
            f"make it one first: `hyperferry start {table} --time COLUMN`, then `hyperferry cutover {table}`."
        )
    return Usage(f"{table} is not a hypertable.", facts={"it is": is_what}, remedy=remedy)
