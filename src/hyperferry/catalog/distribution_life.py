"""How a table lives: its chunks, what is written to it, how its indexes are used, which changes wait in a change log."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from ..db import fetch_all, fetch_one, fetch_value, load_queries
from ..db.connection import Connection
from ..model.distribution import ChunkFacts, IndexUse, Lag, Writes
from ..model.inspection import Column, TableFacts
from ..model.names import LEDGER_SCHEMA, TableName
from .distribution_lags import lag_of
from .distribution_rows import Part, place_of
from .records import records

MOST_COMPRESSED = 200
"""Compressed chunks of which the rows are asked for one by one; further ones are taken to hold as many as those on average."""


@dataclass(frozen=True)
class Life:
    """A hypertable's chunks (none of a plain table), oldest first; `parts` are those whose rows can be read where they are,
    `sizes` the bytes that each has, or had before it was compressed."""

    chunks: tuple[ChunkFacts, ...]
    names: tuple[TableName, ...]
    parts: tuple[Part, ...]
    sizes: tuple[int, ...]
    inserted: int
    interval: float | None
    integer_now: bool
    indexes: tuple[IndexUse, ...]


def life(conn: Connection, table: TableFacts, extension: str | None) -> Life:
    """What the catalogs say of the table's life."""
    if table.kind != "hypertable" or extension is None:
        rows = records(conn, _query("index_use"), {"oid": table.oid})
        return Life((), (), (), (), 0, None, False, tuple(IndexUse(**row) for row in rows))
    name = {"schema": table.name.schema, "name": table.name.name}
    dimension = fetch_one(conn, _query("dimension"), name)
    rows = records(conn, _query("chunks"), name)
    if any(row["compressed"] for row in rows):
        statement = _query("detailed_sizes").format(extension=sql.Identifier(extension))
        sizes = {
            (row[0], row[1]): row[2:] for row in fetch_all(conn, statement, {"table": table.name.quoted})
        }
        before = fetch_all(
            conn,
            _query("sizes_before").format(extension=sql.Identifier(extension)),
            {"table": table.name.quoted},
        )
        were = {(row[0], row[1]): row[2] for row in before}
        for row in rows:
            row["before"] = were.get((row["schema"], row["name"]))
            row["bytes"], row["index_bytes"] = sizes.get(
                (row["schema"], row["name"]), (row["bytes"], row["index_bytes"])
            )
    held = _compressed_rows(conn, extension, [row["oid"] for row in rows if row["compressed"]])
    typical = sum(held.values()) / len(held) if held else -1.0
    chunks, names, parts = [], [], []
    for row in rows:
        own = TableName(row["schema"], row["name"])
        known = held.get(row["oid"], typical) if row["compressed"] else row["rows"]
        chunks.append(
            ChunkFacts(
                name=str(own),
                start=row["start"],
                end=row["end"],
                rows=known,
                bytes=row["bytes"],
                index_bytes=row["index_bytes"],
                compressed=row["compressed"],
                updated=row["updated"],
                deleted=row["deleted"],
            )
        )
        names.append(own)
        if row["plain"] and not row["compressed"] and row["pages"]:
            parts.append(Part(own, row["pages"], row["rows"] if row["rows"] > 0 else None))
    use = records(conn, _query("chunk_index_use"), {"oid": table.oid, "chunks": [row["oid"] for row in rows]})
    return Life(
        tuple(chunks),
        tuple(names),
        tuple(parts),
        tuple(row.get("before") or row["bytes"] for row in rows),
        sum(row["inserted"] for row in rows),
        None if dimension is None else dimension[1],
        bool(dimension and dimension[2]),
        tuple(IndexUse(**row) for row in use),
    )


def _compressed_rows(conn: Connection, extension: str, oids: list[int]) -> dict[int, float]:
    statement = _query("compressed_rows").format(extension=sql.Identifier(extension))
    found = {oid: float(fetch_value(conn, statement, {"oid": oid}) or 0) for oid in oids[-MOST_COMPRESSED:]}
    return {oid: rows for oid, rows in found.items() if rows > 0}


def writes(conn: Connection, table: TableFacts, alive: Life) -> Writes | None:
    """What the server counted of the table and its chunks."""
    row = fetch_one(conn, _query("writes"), {"oid": table.oid})
    if row is None:
        return None
    inserted, updated, deleted, since, hours = row
    return Writes(
        inserted + alive.inserted,
        updated + sum(each.updated for each in alive.chunks),
        deleted + sum(each.deleted for each in alive.chunks),
        since,
        hours,
    )


def logged(conn: Connection, table: TableFacts, column: Column, per_second: float | None) -> Lag | None:
    """How old the rows are that waiting changes were made to, where a rollout is open and this role may read its log."""
    activity = load_queries(__package__, "activity.sql")
    if per_second is None:
        return None
    try:
        if not fetch_value(conn, activity["has_ledger"]):
            return None
        params = {"oid": table.oid, "schema": table.name.schema, "name": table.name.name}
        found = [row for row in fetch_all(conn, activity["open_rollouts"], params) if row[2]]
        if not found:
            return None
        kind = "reverse_log" if found[0][1] == "cut_over" else "forward_log"
        statement = _query("logged").format(
            place=place_of(sql.SQL("t.t"), column),
            per_second=sql.Literal(per_second),
            log=sql.Identifier(LEDGER_SCHEMA, f"{kind}_{found[0][0]}"),
        )
        return lag_of(fetch_one(conn, statement), "the change log of the open rollout, as of now")
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable):
        return None


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "distribution.sql")[name]
