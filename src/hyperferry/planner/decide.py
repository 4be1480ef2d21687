"""Puts the plan together."""

from __future__ import annotations

from collections.abc import Sequence

from .. import __version__
from ..errors import Refused, Usage
from ..model.finding import Finding
from ..model.inspection import Column, Inspection
from ..model.names import quote_ident
from ..model.plan import IMAGE, Plan, Strategy
from ..model.plan_options import PlanOptions, default_workers
from .compression import plan_compression
from .identity import find_batch_by, find_identity
from .interval import choose_interval
from .keys import key_notes, plan_indexes, plan_keys

TIME_TYPES = frozenset({20, 21, 23, 1082, 1114, 1184, 2950})
"""OIDs of int8, int2, int4, date, timestamp, timestamptz and uuid: the types of a partition column
(TimescaleDB: dimension.c); uuid, version 7, from 2.22. A domain over one of them is refused by the server."""


def plan(inspection: Inspection, findings: Sequence[Finding], options: PlanOptions | None = None) -> Plan:
    """The whole decision for one table.

    Findings that concern another strategy alone are left out of the plan. A blocker among them does not keep
    the plan from being made (it may pass, and `describe` shows it first): it keeps it from being started.
    Raises Refused where the table cannot be planned for, Usage for options that make no sense.
    """
    options = options or PlanOptions()
    _check_options(options)
    time = _time_column(inspection)
    strategy = options.strategy or Strategy.BLUE_GREEN
    identity = find_identity(inspection)
    if strategy is Strategy.BLUE_GREEN and identity.by_image and not inspection.has_time_index:
        raise Refused(
            f"{inspection.table.name} has no key by which a row could be found again, and no index on its "
            "time column, which would have to stand in for one.",
            facts={
                "usable keys": 0,
                "time column": time.name,
                "rows (estimated)": inspection.table.estimated_rows,
            },
            remedy=f"CREATE INDEX CONCURRENTLY ON {inspection.table.name} ({quote_ident(time.name)}), "
            "or add a primary key.",
        )
    workers = options.workers or default_workers(inspection.server.cores)
    batch_by = find_batch_by(inspection, identity, workers=workers, compressed=options.compression is not None)
    interval = choose_interval(inspection, time, options.chunk_interval)
    own = tuple(f for f in findings if not f.strategies or strategy.value in f.strategies)
    return Plan(
        table=inspection.table.name,
        time_column=time.name,
        strategy=strategy,
        interval=interval,
        identity=identity,
        keys=plan_keys(inspection),
        indexes=plan_indexes(inspection),
        batch_by=batch_by,
        batch_rows=options.batch_rows,
        workers=workers,
        fingerprint=inspection.fingerprint,
        inspection=inspection,
        findings=own,
        accepts_needed=tuple(sorted({f.accept for f in own if f.accept is not None})),
        notes=_notes(inspection),
        hyperferry_version=__version__,
        drop_inbound_fks=options.drop_inbound_fks,
        drop_from_publications=options.drop_from_publications,
        compression=plan_compression(inspection, identity, batch_by, interval, strategy, options.compression),
        image=IMAGE,
    )


def _check_options(options: PlanOptions) -> None:
    for name, value in (("batch rows", options.batch_rows), ("workers", options.workers)):
        if value is not None and value < 1:
            raise Usage(
                f"The number of {name} must be at least 1.",
                facts={name: value},
                remedy=f"give a positive number of {name}.",
            )


def _time_column(inspection: Inspection) -> Column:
    time = inspection.time
    if time is None:
        raise Refused(
            f"{inspection.table.name} has no column {quote_ident(inspection.time_column)}.",
            facts={"columns": ", ".join(column.name for column in inspection.columns)},
            remedy="name the column that holds the time of a row with --time.",
        )
    if time.type_oid not in TIME_TYPES:
        raise Refused(
            f"The column {quote_ident(time.name)} cannot be a time column: its type is {time.type_sql}.",
            facts={"column": time.name, "type": time.type_sql, "type that it is stored as": time.base_type},
            remedy="name a column of type timestamptz, timestamp, date or an integer type with --time.",
        )
    if time.generated:
        raise Refused(
            f"The column {quote_ident(time.name)} is generated, and a hypertable cannot be partitioned by "
            "such a column.",
            facts={"column": time.name, "expression": time.default},
            remedy="name an ordinary column with --time.",
        )
    return time


def _notes(inspection: Inspection) -> tuple[str, ...]:
    notes = list(key_notes(inspection))
    if not inspection.has_time_index:
        notes.append(
            f"no index starts with {quote_ident(inspection.time_column)}; none is added: create one "
            "beforehand if queries "
            "ask for ranges of the time within a chunk"
        )
    return tuple(notes)
