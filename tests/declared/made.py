"""Hypertables as the database would have them, made by hand for the pure room."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hyperferry.declared.diff import diff
from hyperferry.declared.query_text import bucket_of
from hyperferry.model.declared import OrderBy, Span
from hyperferry.model.difference import Difference
from hyperferry.model.lifecycle import (
    AggregateReading,
    AggregateState,
    CompressionState,
    Drops,
    HypertableState,
    IndexReading,
    IndexState,
    JobKind,
    JobState,
    Readings,
    ServerState,
)
from hyperferry.model.names import TableName
from hyperferry.model.upkeep import IndexMethod, IndexPlan

from .life import wish

DAY = 86_400_000_000
TABLE = TableName("public", "stats")
DAILY = TableName("public", "daily")
QUERY = "SELECT public.time_bucket('1 day'::interval, at) AS day, sum(value) AS total FROM public.stats GROUP BY 1"
COMMUNITY = ServerState("2.19.3", "community", "public", "owner", True, True, True, True, True)
APACHE = replace(COMMUNITY, edition="apache")


def days(number: int) -> Span:
    return Span(microseconds=number * DAY)


STATE = HypertableState(
    name=TABLE,
    oid=1,
    owner="owner",
    time_column="at",
    time_type="timestamp with time zone",
    interval=days(7),
    now_function=None,
    partition_columns=("at",),
    columns=("id", "player_id", "at", "value"),
    row_security=False,
    indexes=(IndexState("stats_at_idx", "USING btree (at DESC)", False, None, True),),
    compression=CompressionState(),
    jobs=(),
    chunks=10,
    compressed=0,
)
COUNTED = replace(STATE, time_type="bigint", interval=Span(units=604_800), now_function='"public"."now_s"')
COMPRESSED = CompressionState(True, ("player_id",), (OrderBy("at", True, True),))


def job(kind: JobKind, number: int = 1000, **what: Any) -> JobState:
    return JobState(
        number, kind, what.pop("schedule", days(1)), "owner", what.pop("scheduled", True), **what
    )


def daily(**what: Any) -> AggregateState:
    """A continuous aggregate that is there."""
    made = AggregateState(
        name=DAILY,
        owner="owner",
        reads=TABLE,
        materialization=TableName("_timescaledb_internal", "_materialized_hypertable_2"),
        time_column="day",
        query=QUERY,
        materialized_only=True,
        compression=CompressionState(),
        jobs=(),
        indexes=(),
        columns=("day", "total"),
        chunks=1,
        compressed=0,
    )
    return replace(made, **what)


def readings(
    text: str,
    state: HypertableState,
    drops: Drops | None = None,
    printed: dict[str, str] | None = None,
    unrefreshed: bool | None = False,
    **problems: str,
) -> Readings:
    """As the server would read the file: every query reads the table, and every index can be built."""
    declared = wish(text)
    indexes = tuple(
        IndexReading(
            index,
            index.name,
            f"USING btree ({', '.join(index.columns)})",
            IndexPlan(
                TableName("public", index.name or "?"),
                "",
                False,
                IndexMethod.PER_CHUNK,
                10,
                10,
                0,
                0,
                0,
                (),
                False,
            ),
        )
        for index in declared.indexes
    )
    aggregates = []
    for aggregate in declared.aggregates:
        query = (printed or {}).get(aggregate.name, QUERY)
        name = TableName("public", aggregate.name)
        reads = (DAILY,) if "FROM daily" in aggregate.query else (TABLE,)
        aggregates.append(
            AggregateReading(
                aggregate,
                name,
                query,
                reads,
                bucket_of(query),
                ("day", "total"),
                problem=problems.get(aggregate.name),
                unrefreshed=unrefreshed,
            )
        )
    found = () if drops is None else ((state.name, drops),)
    return Readings(indexes, tuple(aggregates), found)


def made_diff(
    text: str, state: HypertableState = STATE, server: ServerState = COMMUNITY, *prune: str, **what: Any
) -> Difference:
    """The difference between a file of that text and a database in that state."""
    early = what.pop("before_cutover", False)
    return diff(
        wish(text), state, server, readings(text, state, **what), prune=frozenset(prune), before_cutover=early
    )
