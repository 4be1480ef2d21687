"""Inspections made by hand, for decisions that need no server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hyperferry.model.inspection import (
    Activity,
    Column,
    Constraint,
    Index,
    IndexColumn,
    Inspection,
    ReplicationFacts,
    Rights,
    ScanFacts,
    ServerFacts,
    StatementFacts,
    TableFacts,
)
from hyperferry.model.names import TableName

MB = 1024 * 1024
GB = 1024 * MB

TYPES = {
    "bigint": (20, "int8"),
    "integer": (23, "int4"),
    "smallint": (21, "int2"),
    "text": (25, "text"),
    "numeric": (1700, "numeric"),
    "date": (1082, "date"),
    "uuid": (2950, "uuid"),
    "timestamp without time zone": (1114, "timestamp"),
    "timestamp with time zone": (1184, "timestamptz"),
}


def column(name: str, type_sql: str = "bigint", *, not_null: bool = True, **changes: Any) -> Column:
    oid, base = TYPES.get(type_sql, (99999, type_sql))
    made = Column(
        name=name,
        number=0,
        type_sql=type_sql,
        type_oid=oid,
        base_type=f"pg_catalog.{base}",
        type_kind="b",
        not_null=not_null,
        default=None,
        generated="",
        identity="",
        collation=None,
        deterministic=True,
        storage=None,
        compression=None,
        statistics_target=None,
        options=(),
        comment=None,
    )
    return replace(made, **changes)


def index(name: str, *columns: str, unique: bool = False, tail: str | None = None, **changes: Any) -> Index:
    """An index over plain columns; a name that starts with `(` is an expression."""
    keys = tuple(
        IndexColumn(
            column=None if c.startswith("(") else c,
            expression=c,
            equals="OPERATOR(pg_catalog.=)",
            less="OPERATOR(pg_catalog.<)",
        )
        for c in columns
    )
    tail = tail or f"USING btree ({', '.join(columns)})"
    made = Index(
        name=name,
        oid=1,
        definition=f"CREATE {'UNIQUE ' if unique else ''}INDEX {name} ON public.t {tail}",
        tail=tail,
        columns=keys,
        included=(),
        method="btree",
        unique=unique,
        primary=False,
        exclusion=False,
        valid=True,
        immediate=True,
        nulls_not_distinct=False,
        predicate=None,
        constraint=None,
        tablespace=None,
        bytes=8192,
        comment=None,
        clustered=False,
        replica_identity=False,
    )
    return replace(made, **changes)


def key(name: str, definition: str, *columns: str, **changes: Any) -> tuple[Index, Constraint]:
    """A key constraint with its index."""
    kind = {"P": "p", "U": "u", "E": "x"}[definition[0]]
    made = index(
        name, *columns, unique=kind != "x", primary=kind == "p", exclusion=kind == "x", constraint=name
    )
    constraint = Constraint(
        name=name,
        kind=kind,
        definition=definition,
        columns=columns,
        validated=True,
        enforced=True,
        deferrable=False,
        deferred=False,
        no_inherit=False,
        index=name,
        references=None,
        references_oid=None,
        comment=None,
    )
    return replace(made, **changes), constraint


def scan(minimum: str | None, maximum: str | None, **changes: Any) -> ScanFacts:
    made = ScanFacts(
        rows=1_000_000,
        nulls=0,
        infinite=0,
        minimum=minimum,
        maximum=maximum,
        buckets=0,
        far_rows=0,
        far_examples=(),
        check_violations=(),
        seconds=1.0,
        interval="7 days",
    )
    return replace(made, **changes)


def inspection(
    *columns: Column,
    keys: tuple[tuple[Index, Constraint], ...] = (),
    indexes: tuple[Index, ...] = (),
    time: str = "ts",
    index_bytes: int = 100 * MB,
    shared_buffers: int = 128 * MB,
    scan: ScanFacts | None = None,
    **changes: Any,
) -> Inspection:
    """A table `public.t` with (id bigint, ts timestamptz, ...) unless columns are given."""
    columns = columns or (column("id"), column("ts", "timestamp with time zone"))
    made = Inspection(
        server=ServerFacts(
            version_num=170005,
            version="17.5",
            database="d",
            role="r",
            superuser=False,
            in_recovery=False,
            timescaledb_installed="2.19.3",
            timescaledb_available="2.19.3",
            timescaledb_preloaded=True,
            timescaledb_schema="public",
            edition="apache",
            deadlock_timeout_ms=1000,
            max_locks_per_transaction=64,
            max_connections=100,
            max_prepared_transactions=0,
            shared_buffers_bytes=shared_buffers,
            default_isolation="read committed",
        ),
        table=TableFacts(
            name=TableName("public", "t"),
            oid=16400,
            relkind="r",
            kind="table",
            persistence="p",
            owner="o",
            estimated_rows=1_000_000,
            total_bytes=index_bytes * 3,
            heap_bytes=index_bytes * 2,
            index_bytes=index_bytes,
            tablespace=None,
            options=(),
            toast_options=(),
            access_method="heap",
            replica_identity="d",
            row_security=False,
            row_security_forced=False,
            comment=None,
            extension=None,
            typed_of=None,
        ),
        rights=Rights(True),
        columns=tuple(replace(c, number=n) for n, c in enumerate(columns, 1)),
        indexes=(*(i for i, _ in keys), *indexes),
        constraints=tuple(c for _, c in keys),
        inbound_keys=(),
        triggers=(),
        policies=(),
        rules=(),
        dependents=(),
        sequences=(),
        extended_statistics=(),
        security_labels=(),
        replication=ReplicationFacts((), (), (), (), ()),
        isolation_defaults=(),
        statements=StatementFacts(available=False),
        activity=Activity(),
        time_column=time,
        scan=scan,
        fingerprint="f" * 64,
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return replace(made, **changes)


PRIMARY = key("t_pkey", "PRIMARY KEY (id)", "id")
