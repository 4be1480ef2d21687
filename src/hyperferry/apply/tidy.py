"""Keeps the change log small even where somebody else's long transaction keeps its dead rows from being cleaned.

The log has two parts. Writers write to one of them, which their trigger function names; everything else means both. When that
part has grown, the functions are replaced and writers go over to the other, from their next statement on, without a lock. When
the part that was left is applied to its last row and no transaction that wrote to it is open, it is truncated: its
dead rows go at once, whatever snapshot could have wanted them. Writers never wait for that, since they are elsewhere; who still
holds the part is not waited for, and it is tried again later. Nothing rests on which part a row is in.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from ..capture import wake_statements
from ..capture.functions import events, function_name
from ..db import execute, fetch_one, fetch_value, is_transient, load_queries
from ..db.connection import Connection
from ..ledger.flow import Flow
from ..ledger.objects import not_truncated
from ..ledger.transaction import UNFLUSHED, flow_transaction

PART_BYTES = 32 << 20
"""From this size on writers go over to the other part: some 300,000 pairs, which every slice would read over."""
EMPTY_BYTES = 128 << 10
"""A part of at most this size has nothing to be truncated for."""


def tidy_log(conn: Connection, flow: Flow) -> bool:
    """One attempt at whatever is to be done now; True where something was. Raises what `flow_transaction` raises."""
    row = fetch_one(
        conn,
        load_queries(__package__, "tidy.sql")["parts"],
        {
            "log": flow.log.as_string(None),
            "spare": flow.spare_log.as_string(None),
            "function": f"{function_name(flow, events(flow)[0]).as_string(None)}()",
        },
    )
    truncated = [] if row is None else [part for part, may in zip((flow.log, flow.spare_log), row[3:], strict=True) if may]
    if truncated:
        return _keep_size(conn, truncated)
    if row is None or row[0] is None or row[1] is None:  # a rollout of an older hyperferry
        return False
    spare_in_use = bool(row[2])
    in_use, left = (row[1], row[0]) if spare_in_use else (row[0], row[1])
    try:
        if left > EMPTY_BYTES:
            return _truncate(conn, flow, spare=not spare_in_use)
        if in_use > PART_BYTES:
            return _go_over(conn, flow, spare=not spare_in_use)
    except psycopg.Error as error:
        if not is_transient(error):
            raise
    return False


def _keep_size(conn: Connection, parts: list[sql.Identifier]) -> bool:
    """Has vacuum truncate none of the parts: each time it would keep writers waiting."""
    try:
        for part in parts:
            execute(conn, not_truncated(part))
    except psycopg.Error as error:
        if not is_transient(error):
            raise
        return False
    return True


def _go_over(conn: Connection, flow: Flow, *, spare: bool) -> bool:
    """Has writers write to the other part. The look at both tables tells that this direction's functions are awake; a swap, which
    replaces them too, is kept out by our lock on the active side."""
    with flow_transaction(conn, flow, snapshot=False, applier=True):
        for statement in wake_statements(flow, spare=spare):
            execute(conn, statement.sql)
    return True


def _truncate(conn: Connection, flow: Flow, *, spare: bool) -> bool:
    """Empties the part that nobody writes to, if every row of it is applied. Its lock is held through the commit, and must not be
    through an answer of a synchronous standby: whatever is lost of this, the part is to be emptied again."""
    queries = load_queries(__package__, "tidy.sql")
    part = flow.spare_log if spare else flow.log
    if fetch_value(conn, queries["any_left"].format(part=part)):
        return False
    with flow_transaction(conn, flow, snapshot=False, applier=True, settings=UNFLUSHED):
        execute(conn, queries["lock_part"].format(part=part))
        # A new snapshot, now that every writer of this part has ended.
        if fetch_value(conn, queries["any_left"].format(part=part)):
            return False
        execute(conn, queries["empty_part"].format(part=part))
    return True
