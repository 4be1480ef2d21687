"""The chunks of the hypertable that are known to the ledger, by name and range: of one that is gone nothing else tells.

They are recorded where a proof begins and at a cutover; each that is made for a change by the transaction that makes it; and on
the way back by the transaction that carries rows out of it, so that no row of a chunk that is not known is on the other side.
"""

from __future__ import annotations

from psycopg import sql

from ..db import execute, fetch_all, fetch_value, load_queries
from ..db.connection import Connection
from ..model.rollout import Direction
from . import store
from .flow import Flow, flow_of

INTEGER = "text_integer"
TEXTS = {
    "pg_catalog.timestamptz": "text_timestamptz",
    "pg_catalog.timestamp": "text_timestamp",
    "pg_catalog.date": "text_date",
    "pg_catalog.uuid": "text_uuid",
}
"""How an end of a chunk's range is written as text of the time column's type."""


def text_of(flow: Flow) -> str:
    """The way of writing that the flow's time column has."""
    time = flow.rollout.plan.inspection.time
    assert time is not None
    return TEXTS.get(time.base_type, INTEGER)


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "known.sql")[name]


def _oid(flow: Flow) -> sql.Literal:
    return sql.Literal(flow.rollout.hypertable_oid)


def present(flow: Flow) -> sql.Composed:
    """The hypertable's chunks now: chunk, low, high."""
    suffix = "_integer" if text_of(flow) == INTEGER else ""
    return _query("present").format(
        start=sql.Identifier(f"range_start{suffix}"), end=sql.Identifier(f"range_end{suffix}"), oid=_oid(flow)
    )


def attached(flow: Flow) -> sql.Composed:
    """Those of them that were tables of their own before."""
    return _query("attached").format(oid=_oid(flow))


def record(flow: Flow, *, attached: bool) -> sql.Composed:
    """Makes known what is there and not known yet; those that were tables of their own only where asked for (`attached`)."""
    tables = _query("attached").format(oid=_oid(flow))
    return _query("record").format(
        known=flow.of_ledger("chunk"),
        present=present(flow),
        which=sql.SQL("true") if attached else _query("not_attached").format(attached=tables),
    )


def gone(flow: Flow) -> sql.Composed:
    """A condition on `k`, a known chunk: it is no more, and not noted as dropped."""
    return _query("gone").format(
        present=present(flow), known=flow.of_ledger("chunk"), log=flow_of(flow.rollout, Direction.REVERSE).log
    )


def ends(flow: Flow) -> dict[str, sql.Composed]:
    """`low_text` and `high_text` of `k`, as text of the time column's type."""
    query = _query(text_of(flow))
    return {f"{end}_text": query.format(value=sql.Identifier("k", end)) for end in ("low", "high")}


def note(conn: Connection, flow: Flow, *, attached: bool) -> None:
    """Within a transaction of one snapshot: notes what was dropped, an event for each, and makes known what is there (`attached`
    as for `record`). In this order, or a chunk that was made anew in the range of one that was dropped would hide that."""
    for low, high in fetch_all(conn, _query("mark").format(known=flow.of_ledger("chunk"), gone=gone(flow), **ends(flow))):
        store.event(conn, flow.rollout.id, "dropped", {"from": low, "to": high})
    execute(conn, record(flow, attached=attached))


def chunk_set(conn: Connection, flow: Flow) -> str:
    """Another text once the hypertable has other chunks, at the transaction's snapshot. Cheap at any number of them."""
    return str(fetch_value(conn, _query("set").format(oid=_oid(flow))))


def count(conn: Connection, flow: Flow) -> int:
    """How many chunks the hypertable has, at the transaction's snapshot."""
    return int(fetch_value(conn, _query("children").format(oid=_oid(flow))))
