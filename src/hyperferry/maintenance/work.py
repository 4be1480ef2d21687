"""One task: one statement, outside a transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ..db import execute, fetch_all, fetch_value, is_lock_failure, load_queries, pause_seconds
from ..db.connection import Connection
from ..db.sqlstate import CANCELLED, is_lost_connection, state_of
from ..model.names import TableName
from .options import Kind, Outcome, Task
from .watch import Watch

ATTEMPTS = 4
"""How often the lock is asked for. Each attempt waits as long as a first lock may, SHARE UPDATE EXCLUSIVE, which stops no
writer."""
CLEAN_MS = 2_000
GONE = frozenset({"42P01", "42704", "XX000"})
"""undefined_table, undefined_object, and `cache lookup failed`, for what is dropped between two looks."""
NO_ROOM = "53"
"""The class of insufficient resources: disk, memory, connections."""
NOT_ALLOWED = frozenset({"42501"})


def _query(name: str) -> sql.SQL:
    return load_queries(__package__, "maintenance.sql")[name]


def prepare(conn: Connection, full_speed: bool) -> None:
    """Has this session vacuum and analyze at the pace of autovacuum, unless at full speed."""
    if not full_speed:
        execute(
            conn,
            "SELECT set_config('vacuum_cost_delay', GREATEST(2, setting::float8)::text || 'ms', false) "
            "FROM pg_settings WHERE name = 'autovacuum_vacuum_cost_delay'",
        )


@dataclass
class Worker:
    """Does tasks on one session, watched from another."""

    conn: Connection
    watch: Watch

    def do(self, task: Task) -> Outcome:
        """Does it, if what it is for is still there. What the server refuses is told by the outcome; raises what ends the
        session, or every session's work (no memory, a full disk)."""
        begun = time.monotonic()

        def outcome(state: str, reason: str = "", before: int | None = None, after: int | None = None) -> Outcome:
            return Outcome(task, state, time.monotonic() - begun, reason, before, after)

        there = {"oid": task.oid, "name": task.table.name, "index": task.index_oid}
        if not fetch_value(self.conn, _query("there"), there):
            return outcome("gone", "it is not there any more")
        before = self._bytes(task.index)
        left = ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self.watch.over():
                    self._run(task)
                return outcome("done", before=before, after=None if task.remove else self._bytes(task.index))
            except psycopg.Error as error:
                left = self._take_away(task)
                if state_of(error) in GONE and not fetch_value(self.conn, _query("there"), there):
                    return outcome("gone", "it went meanwhile")
                if self.watch.reason is not None and state_of(error) in CANCELLED:
                    return outcome("skipped", self.watch.reason + left)
                if not is_lock_failure(error):
                    if self._ends_all(error):
                        raise
                    return outcome("failed", _said(error) + left)
            if attempt < ATTEMPTS:
                time.sleep(pause_seconds(attempt))
        reason = "somebody else has a lock on it that agrees with no maintenance (another VACUUM, DDL)"
        return outcome("skipped", reason + left)

    def _ends_all(self, error: psycopg.Error) -> bool:
        """Whether nothing that comes after would do better: the session is gone, or the server has no room."""
        state = state_of(error)
        return self.conn.closed or not state or is_lost_connection(error) or state.startswith(NO_ROOM)

    def _run(self, task: Task) -> None:
        table = sql.Identifier(task.table.schema, task.table.name)
        if task.kind is Kind.VACUUM:
            options = "FREEZE, TRUNCATE false" if task.freeze else "TRUNCATE false"
            execute(self.conn, sql.SQL("VACUUM ({}) {}").format(sql.SQL(options), table))
        elif task.kind is Kind.ANALYZE:
            execute(self.conn, sql.SQL("ANALYZE {}").format(table))
        else:
            self._rebuild(task, table)

    def _rebuild(self, task: Task, table: sql.Identifier) -> None:
        assert task.index is not None
        index = sql.Identifier(task.index.schema, task.index.name)
        # Is the lock to be had at all? What REINDEX waits for afterwards are transactions, and nobody waits behind it then.
        with self.conn.transaction():
            execute(self.conn, sql.SQL("LOCK TABLE ONLY {} IN SHARE UPDATE EXCLUSIVE MODE").format(table))
        lock_timeout = fetch_value(self.conn, "SELECT current_setting('lock_timeout')")
        execute(self.conn, "SET lock_timeout = 0")  # the watch is what ends a wait
        try:
            what = "DROP INDEX CONCURRENTLY IF EXISTS {}" if task.remove else "REINDEX INDEX CONCURRENTLY {}"
            execute(self.conn, sql.SQL(what).format(index))
        finally:
            if not self.conn.closed:
                execute(self.conn, sql.SQL("SET lock_timeout = {}").format(sql.Literal(lock_timeout)))

    def _take_away(self, task: Task) -> str:
        """What a rebuild that did not end left. Where somebody is in the way, the next run does it. Gives what is still
        left because it may not be dropped, as the end of a sentence."""
        if task.kind is not Kind.REINDEX or self.conn.closed:
            return ""
        left = ""
        before = fetch_value(self.conn, "SELECT current_setting('lock_timeout')")
        for schema, name, owner in fetch_all(self.conn, _query("left_by_reindex"), {"oid": task.oid}):
            execute(self.conn, sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{CLEAN_MS}ms")))
            try:
                execute(self.conn, sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(schema, name)))
            except psycopg.Error as error:
                if self._ends_all(error):
                    raise
                if state_of(error) in NOT_ALLOWED:
                    index = TableName(schema, name)
                    left += (
                        f"; the invalid index {index} is left, and only {owner} or a superuser can drop it: "
                        f"DROP INDEX CONCURRENTLY {index.quoted}"
                    )
                elif not is_lock_failure(error):
                    left += f"; the invalid index {TableName(schema, name)} is left: {_said(error)}"
            finally:
                if not self.conn.closed:
                    execute(self.conn, sql.SQL("SET lock_timeout = {}").format(sql.Literal(before)))
        return left

    def _bytes(self, index: TableName | None) -> int | None:
        """Its size; None where that cannot be asked now, because somebody holds it exclusively."""
        if index is None:
            return None
        try:
            found = fetch_value(self.conn, _query("index_bytes"), {"schema": index.schema, "name": index.name})
        except psycopg.Error as error:
            if not is_lock_failure(error):
                raise
            return None
        return None if found is None else int(found)


def _said(error: psycopg.Error) -> str:
    """The server's words, in one line."""
    words = (error.diag.message_primary or str(error).strip(), error.diag.message_detail, error.diag.message_hint)
    return " ".join(" ".join(part.split()) for part in words if part)
