"""The jobs and the continuous aggregates of a hypertable, and how far each has come."""

from __future__ import annotations

import json
from dataclasses import replace
from math import isinf
from typing import Any

import psycopg
from psycopg import sql

from ..db import fetch_all, fetch_one, fetch_value, is_lost_connection, load_queries
from ..db.connection import Connection
from ..model.health import Aggregate, HealthFacts, Job, Reach
from ..model.names import TableName
from .records import records
from .zone import before_now, zone_of

LOOKED_AT = 3
"""Chunks that are asked for the latest time, from the end, before it is called unknown."""
LEAST = -210_866_803_200_000_000
"""The first moment that a timestamptz can be, in microseconds since 1970: a watermark there is none. Integers have their own
least."""
LEAST_INTEGERS = (-32_768, -2_147_483_648, -9_223_372_036_854_775_808)


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "health_jobs.sql")[name]


def scheduled_jobs(conn: Connection) -> int:
    """How many jobs this database runs."""
    return int(fetch_value(conn, _query("scheduled")))


def jobs(
    conn: Connection, place: dict[str, Any], kind: str, integer_now: int | None, hidden: list[str]
) -> tuple[Job, ...]:
    """The jobs of the hypertable and of the aggregates on it, with what a policy is to do by now."""
    ids = [place["id"], *(row["id"] for row in records(conn, _query("aggregates"), {"id": place["id"]}))]
    rows = records(
        conn, _query("jobs"), {"ids": [str(each) for each in ids], "schema": place["schema"], "name": place["name"]}
    )
    found = [_job(row) for row in rows]
    try:
        errors = {row[0]: row[1:] for row in fetch_all(conn, _query("errors"), {"jobs": [job.id for job in found]})}
    except psycopg.errors.InsufficientPrivilege:
        errors = {}
        hidden.append("the messages of failed jobs")
    return tuple(
        _with_boundary(
            conn,
            replace(job, last_error=errors[job.id][0], last_error_at=errors[job.id][1]) if job.id in errors else job,
            kind,
            integer_now,
        )
        for job in found
    )


def _job(row: dict[str, Any]) -> Job:
    config = row["config"]
    row["config"] = json.loads(config) if isinstance(config, str) else config or {}
    for name in ("last_start", "last_success", "next_start"):
        # An infinite next start ahead is never; one behind is at once, which is what a job has whose start failed.
        if row[name] is not None and isinf(row[name]) and (name != "next_start" or row[name] > 0):
            row[name] = None
    return Job(**row)


def _with_boundary(conn: Connection, job: Job, kind: str, integer_now: int | None) -> Job:
    after = job.config.get({"policy_retention": "drop_after", "policy_compression": "compress_after"}.get(job.procedure, ""))
    if after is None:
        return job
    return replace(job, after=str(after), boundary=_before(conn, job, after, kind, integer_now))


def _before(conn: Connection, job: Job, after: object, kind: str, integer_now: int | None) -> int | None:
    """The present less an interval or an integer, on the time's axis, as the job reckons it."""
    if isinstance(after, int):
        return None if integer_now is None else integer_now - after
    try:
        return before_now(conn, zone_of(conn, job.owner), kind, str(after))
    except psycopg.DataError:
        return None


def aggregates(conn: Connection, facts: HealthFacts, number: int, hidden: list[str]) -> tuple[Aggregate, ...]:
    """The continuous aggregates on the hypertable and on those, with watermark and the latest time of what each reads."""
    rows = records(conn, _query("aggregates"), {"id": number})
    if not rows:
        return ()
    marks = _watermarks(conn, [row["id"] for row in rows])
    newest = _newest(conn, facts, hidden)
    names = {number: str(facts.table)}
    found = []
    for row in rows:
        name = TableName(row["schema"], row["name"])
        names[row["id"]] = str(name)
        of_source = newest if row["source_id"] == number else (marks.get(row["source_id"]), "")
        refreshing = [
            job
            for job in facts.jobs
            if job.procedure == "policy_refresh_continuous_aggregate" and job.config.get("mat_hypertable_id") == row["id"]
        ]
        job = refreshing[0] if refreshing else None
        offset = None if job is None else job.config.get("end_offset")
        due = None
        if job is not None:
            due = facts.present if offset is None else _before(conn, job, offset, facts.time_type, facts.integer_now)
        found.append(
            Aggregate(
                name,
                names.get(row["source_id"], "?"),
                materialized_only=row["materialized_only"],
                watermark=marks.get(row["id"]),
                watermark_text=_text(marks.get(row["id"]), facts),
                newest=of_source[0],
                newest_text=of_source[1] or _text(of_source[0], facts),
                bucket=_width(conn, row["bucket"]),
                job=job,
                due=due,
                number=row["id"],
                source_number=row["source_id"],
                reaches=tuple(_reach(conn, each, facts) for each in refreshing),
            )
        )
    return tuple(found)


def _reach(conn: Connection, job: Job, facts: HealthFacts) -> Reach:
    offset = job.config.get("start_offset")
    if offset is None:
        return Reach(job.id)
    return Reach(job.id, str(offset), _before(conn, job, offset, facts.time_type, facts.integer_now))


def _text(place: int | None, facts: HealthFacts) -> str:
    from datetime import UTC, datetime, timedelta

    if place is None:
        return "nowhere"
    if facts.integer_time:
        return f"{place:,}"
    try:
        return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=place):%Y-%m-%d %H:%M:%S%z}"
    except OverflowError:
        return f"{place:,} microseconds since 1970"


def _width(conn: Connection, text: str | None) -> int | None:
    if text is None:
        return None
    if text.lstrip("-").isdigit():
        return int(text) if int(text) > 0 else None
    try:
        return int(fetch_value(conn, _query("width"), {"text": text}))
    except psycopg.DataError:
        return None


def _watermarks(conn: Connection, ids: list[int]) -> dict[int, int]:
    if fetch_value(conn, _query("has_watermarks")):
        rows = fetch_all(conn, _query("watermarks"), {"ids": ids})
    else:
        rows = [(each, fetch_value(conn, _query("watermark"), {"id": each})) for each in ids]
    return {int(number): int(mark) for number, mark in rows if mark is not None and mark > LEAST and mark not in LEAST_INTEGERS}


def _newest(conn: Connection, facts: HealthFacts, hidden: list[str]) -> tuple[int | None, str]:
    """The latest time in the hypertable, from its last chunks that hold rows."""
    column = sql.Identifier(facts.time_column)
    place = (
        sql.SQL("max({})::bigint").format(column)
        if facts.integer_time
        else sql.SQL("(EXTRACT(epoch FROM max({})) * 1000000)::bigint").format(column)
    )
    for chunk in [each for each in reversed(facts.chunks) if not each.empty][:LOOKED_AT]:
        name = chunk.relation.name
        try:
            row = fetch_one(
                conn, _query("newest").format(place=place, column=column, chunk=sql.Identifier(name.schema, name.name))
            )
        except psycopg.Error as error:
            if is_lost_connection(error):
                raise
            hidden.append(f"the latest time in {facts.table}: {error.diag.message_primary or error}")
            return None, ""
        if row is not None and row[0] is not None:
            return int(row[0]), str(row[1])
    return None, ""
