"""What the catalogs and the statistics know of a hypertable's health. No chunk is opened but those whose size nothing tells."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from ..db import fetch_all, fetch_one, fetch_value, is_lock_failure, load_queries
from ..db.connection import Connection
from ..errors import Refused, Usage
from ..model.health import Chunk, Column, HealthFacts, IndexFacts, Relation, Width
from ..model.names import TableName
from .health_jobs import aggregates, jobs, scheduled_jobs
from .horizon import oldest_holder
from .records import records

AT_ONCE = 500
"""Tables that are measured in one statement."""
MOST = 2_000
"""Tables that are measured at most."""
STALE = 0.2
"""The part of a table's rows that changed since it was last counted, from which its size is measured instead."""


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "health.sql")[name]


def hypertable_of(conn: Connection, oid: int, table: TableName) -> tuple[int, str, bool]:
    """TimescaleDB's number of the hypertable, its owner, whether it keeps compressed rows. Raises Usage for what is no
    hypertable,
    Refused where this role may not see into it."""
    there = fetch_value(conn, "SELECT to_regclass('_timescaledb_catalog.hypertable') IS NOT NULL")
    row = fetch_one(conn, _query("kind" if there else "plain_kind"), {"oid": oid})
    if row is None:
        raise Usage(f"{table} is gone.", remedy="name a table that is there.")
    relkind, owner, readable, owned, held_by = row
    if held_by is not None:
        raise Usage(
            f"{table} is a continuous aggregate: a view over a hypertable of its own.",
            facts={"its hypertable": held_by},
            remedy=f"name that: hyperferry health '{held_by}'",
        )
    found = records(conn, _query("hypertable"), {"schema": table.schema, "name": table.name}) if there else []
    if not found:
        raise Usage(
            f"{table} is not a hypertable.",
            facts={"it is": _KINDS.get(relkind, f"a relation of kind {relkind}")},
            remedy="name a hypertable"
            + (f"; to make one of it: hyperferry preflight '{table}' --time COLUMN" if relkind == "r" else "."),
        )
    if not readable and not owned:
        raise Refused(
            f"This role may not look into {table}.",
            facts={"owner": owner},
            remedy=f"connect as {owner} or as a member of that role, or grant SELECT on the table.",
        )
    return int(found[0]["id"]), str(owner), bool(found[0]["compression_enabled"])


_KINDS = {
    "r": "a plain table",
    "p": "a partitioned table",
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
}


def health_facts(conn: Connection, oid: int, table: TableName) -> HealthFacts:
    """Everything that the rules look at, but the rollout and what is measured on request. Raises Usage, Refused."""
    number, owner, compresses = hypertable_of(conn, oid, table)
    place = {"schema": table.schema, "name": table.name, "id": number}
    hidden: list[str] = []
    dimensions = fetch_all(conn, _query("dimensions"), place)
    time_column, time_type, _, interval, now_schema, now_function, _ = dimensions[0]
    integer = time_type in ("smallint", "integer", "bigint")
    integer_now = _integer_now(conn, now_schema, now_function, hidden) if integer else None
    chunks = _chunks(conn, oid, table, hidden)
    holding = [each for chunk in chunks for each in chunk.relations]
    since = _surroundings(conn, oid, hidden)
    settings = dict(fetch_all(conn, _query("settings")))
    found = jobs(conn, place, time_type, integer_now, hidden)
    facts = HealthFacts(
        table=table,
        owner=owner,
        now=float(fetch_value(conn, _query("now"))),
        postgresql=conn.info.server_version,
        edition="community" if _license(conn) == "timescale" else "apache",
        time_column=time_column,
        integer_time=integer,
        interval=int(interval),
        number=number,
        time_type=str(time_type),
        partitions=_product(row[6] for row in dimensions[1:]),
        integer_now=integer_now,
        columns=tuple(Column(**row) for row in records(conn, _query("columns"), {"oid": oid})),
        chunks=chunks,
        indexes=_indexes(conn, [oid], definitions=True),
        chunk_indexes=_indexes(conn, [each.oid for each in holding]),
        jobs=found,
        settings=settings,
        block_size=int(settings.get("block_size", "8192")),
        compression_enabled=compresses,
        scheduled_jobs=scheduled_jobs(conn),
        oldest_chunk=fetch_value(conn, _query("oldest_chunk"), {"id": number}),
        holder=_holder(conn),
        **since,
    )
    facts = replace(facts, aggregates=aggregates(conn, facts, number, hidden))
    return replace(facts, hidden=tuple(hidden))


def _license(conn: Connection) -> str:
    return str(fetch_value(conn, "SELECT current_setting('timescaledb.license', true)") or "apache")


def _product(numbers: Iterable[int | None]) -> int:
    product = 1
    for number in numbers:
        product *= number or 1
    return product


def _integer_now(conn: Connection, schema: str | None, function: str | None, hidden: list[str]) -> int | None:
    if function is None:
        hidden.append(
            "what of it is old: its time is an integer, and no function tells the present "
            "(set_integer_now_func makes one known)"
        )
        return None
    try:
        return int(fetch_value(conn, sql.SQL("SELECT {}()").format(sql.Identifier(schema or "public", function))))
    except (psycopg.Error, TypeError) as error:
        hidden.append(f"what of it is old: {schema}.{function}() failed: {error}")
        return None


def _surroundings(conn: Connection, oid: int, hidden: list[str]) -> dict[str, Any]:
    row = fetch_one(conn, _query("surroundings"), {"oid": oid})
    assert row is not None
    databases, since, root_analyzed, workers, unseen, scheduler, _, version = row
    if unseen:
        hidden.append(
            f"what {unseen} of the server's processes do (autovacuum workers among them): "
            "GRANT pg_read_all_stats TO this role to have them shown"
        )
    return {
        "databases": databases,
        "statistics_since": since,
        "root_analyzed": root_analyzed,
        "autovacuum_workers": None if unseen else workers,
        "scheduler_runs": scheduler,
        "timescaledb": str(version),
    }


def _holder(conn: Connection) -> str | None:
    holder = oldest_holder(conn)
    if holder is None or holder.transactions < HOLDS_BACK:
        return None
    return f"{holder.what} (pid {holder.pid or '?'}, user {holder.user or '?'}), {holder.transactions:,} transactions old"


HOLDS_BACK = 1000
"""A snapshot that is so many transactions old is named as what keeps dead rows from being removed."""


def companions(conn: Connection, chunks: Sequence[int]) -> dict[int, int]:
    """The tables that hold the rows of compressed chunks, by chunk."""
    by_oid = fetch_value(conn, _query("has_compress_relid"))
    pairs = fetch_all(conn, _query("companions" if by_oid else "companions_by_number"), {"oids": list(chunks)})
    return {int(chunk): int(other) for chunk, other in pairs}


def _chunks(conn: Connection, oid: int, table: TableName, hidden: list[str]) -> tuple[Chunk, ...]:
    rows = records(conn, _query("chunks"), {"oid": oid})
    oids = [row["oid"] for row in rows]
    companion = companions(conn, oids)
    sizes = {
        (schema, name): (before, after)
        for schema, name, before, after in fetch_all(
            conn, _query("compression_sizes"), {"schema": table.schema, "name": table.name}
        )
    }
    compressed = {row["oid"] for row in rows if row["compressed"]}
    partial: set[int] = set()
    if compressed:
        query = _query("partial" if fetch_value(conn, _query("has_relid")) else "partial_by_name")
        partial = {int(row[0]) for row in fetch_all(conn, query, {"oids": list(compressed)})}
    found = _relations(conn, oids, list(companion.values()), hidden, compressed - partial, partial)
    chunks = []
    for row in rows:
        relation = found.get(row.pop("oid"))
        if relation is None:
            continue  # dropped between two looks
        before, after = sizes.get((relation.name.schema, relation.name.name), (None, None))
        other = found.get(companion.get(relation.oid, 0))
        chunks.append(
            Chunk(
                relation,
                companion=other,
                before_bytes=before,
                after_bytes=after,
                partial=relation.oid in partial,
                **row,
            )
        )
    return tuple(chunks)


def _relations(
    conn: Connection,
    chunks: Sequence[int],
    companions: Sequence[int],
    hidden: list[str],
    emptied: Collection[int],
    partial: Collection[int],
) -> dict[int, Relation]:
    """The tables by OID. TimescaleDB leaves the pages and rows that the catalog had of a chunk before it was compressed, for the
    planner; so those that are `emptied` are taken for empty, and `partial` ones are measured."""
    oids = [*chunks, *companions]
    block = int(fetch_value(conn, "SELECT current_setting('block_size')"))
    index_pages = _index_pages(conn, oids)
    found: dict[int, Relation] = {}
    for row in records(conn, _query("relations"), {"oids": oids}):
        toast = row.pop("toast_pages")
        name = TableName(row.pop("schema"), row.pop("name"))
        options, toast_options = (_options(row.pop(kind)) for kind in ("options", "toast_options"))
        found[row["oid"]] = Relation(
            name=name,
            heap_bytes=row["pages"] * block,
            toast_bytes=toast * block,
            index_bytes=index_pages.get(row["oid"], 0) * block,
            options=options,
            toast_options=toast_options,
            **row,
        )
    for oid in emptied:
        if oid in found:
            found[oid] = replace(found[oid], heap_bytes=0, toast_bytes=0, index_bytes=0)
    unsure = [
        found[oid]
        for oid in oids
        if oid in found and (oid in partial or (oid not in emptied and _unknown_size(found[oid])))
    ]
    known = _widths(conn, [found[oid] for oid in chunks if oid in found])
    for oid, widths in known.items():
        if oid in found:
            found[oid] = replace(found[oid], widths=widths)
    if not known and any(found[oid].analyzed is not None and found[oid].rows > 0 for oid in chunks if oid in found):
        hidden.append("what ANALYZE knows of the columns, and so bloat (row security, or no right to read the table, hides it)")
    for oid, measured in _measured(conn, unsure, hidden).items():
        heap, indexes, rest = measured
        found[oid] = replace(found[oid], heap_bytes=heap, index_bytes=indexes, toast_bytes=rest, measured=True)
    return found


def _options(options: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    return tuple((each.split("=", 1)[0], each.split("=", 1)[1]) for each in options or ())


def _unknown_size(relation: Relation) -> bool:
    """Whether the pages that the catalog has of it say nothing: never counted, none, or much changed since."""
    changed = max(relation.modified, relation.inserted)
    return relation.rows < 0 or relation.pages == 0 or changed > max(STALE * relation.rows, 100)


def _index_pages(conn: Connection, oids: Sequence[int]) -> dict[int, int]:
    rows = fetch_all(
        conn,
        "SELECT i.indrelid::bigint, sum(x.relpages)::bigint FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid "
        "WHERE i.indrelid = ANY(%s::oid[]) GROUP BY 1",
        [list(oids)],
    )
    return {int(oid): int(pages) for oid, pages in rows}


def _widths(conn: Connection, tables: Sequence[Relation]) -> dict[int, tuple[Width, ...]]:
    oids = {(each.name.schema, each.name.name): each.oid for each in tables}
    wanted = {"schemas": list({schema for schema, _ in oids}), "names": [name for _, name in oids]}
    return {
        oids[schema, table]: tuple(
            Width(name, int(width), float(nulls), float(distinct))
            for name, width, nulls, distinct in zip(names, widths, nulls_of, distincts, strict=True)
        )
        for schema, table, names, widths, nulls_of, distincts in fetch_all(conn, _query("widths"), wanted)
        if (schema, table) in oids
    }


def _measured(conn: Connection, wanted: Sequence[Relation], hidden: list[str]) -> dict[int, tuple[int, int, int]]:
    found: dict[int, tuple[int, int, int]] = {}
    # The largest first; among those of which nothing is known the newest.
    places = {each.oid: place for place, each in enumerate(wanted)}
    largest = sorted(wanted, key=lambda each: (-each.live, -places[each.oid]))[:MOST]
    oids = [each.oid for each in largest]
    for start in range(0, len(oids), AT_ONCE):
        try:
            rows = fetch_all(conn, _query("measure"), {"oids": oids[start : start + AT_ONCE]})
        except psycopg.Error as error:
            if not is_lock_failure(error):
                raise
            continue
        found |= {int(oid): (int(heap), int(indexes), int(rest)) for oid, heap, indexes, rest in rows}
    if len(wanted) > MOST:
        hidden.append(
            f"the size of {len(wanted) - MOST:,} chunks that were never analyzed, or much changed since; the {MOST:,} with the "
            "most "
            "rows were measured"
        )
    if len(found) < len(oids):
        hidden.append(
            f"the size of {len(oids) - len(found)} chunks that somebody holds exclusively, or that went meanwhile"
        )
    return found


def _indexes(conn: Connection, oids: Sequence[int], *, definitions: bool = False) -> tuple[IndexFacts, ...]:
    rows = records(conn, _query("indexes"), {"oids": list(oids), "definitions": definitions})
    return tuple(_index(row) for row in rows)


def _index(row: dict[str, Any]) -> IndexFacts:
    """Chunks may have other column numbers than the hypertable, so the columns' names are part of the key. Those of an
    expression's
    index are in its text."""
    options = dict(_options(row.pop("options")))
    made_of, columns = row.pop("made_of"), row.pop("columns") or ()
    key = "/".join([made_of, *(f"{each!r}" for each in columns)])
    name = TableName(row.pop("schema"), row.pop("name"))
    return IndexFacts(name=name, key=key, columns=columns, fillfactor=int(options.get("fillfactor", 90)), **row)
