"""Connections whose behaviour depends on nothing but us."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote

import psycopg
from psycopg import conninfo, sql

from ..errors import ConnectionFailed
from ..model.statement import Fragment

Connection = psycopg.Connection[tuple[Any, ...]]
Params = Sequence[Any] | Mapping[str, Any] | None
Statement = str | sql.Composable

SESSION_SETTINGS: dict[str, str] = {
    # Names are qualified everywhere; nothing in public may be taken for ours.
    "search_path": "pg_catalog, pg_temp",
    # An owner under FORCE ROW LEVEL SECURITY would copy, and verify, half a table: make it an error (I0).
    "row_security": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    # Text forms must be the same in every session: they stand in ranges, pairs and image hashes.
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    # A backslash in our statements is itself.
    "standard_conforming_strings": "on",
    # What is made goes where its statement says, whatever the role's own defaults are.
    "default_tablespace": "",
    "client_min_messages": "warning",
    "statement_timeout": "0",
    "session_replication_role": "origin",
    # A client that vanished must not keep what it locked, nor the place of whoever works on a rollout.
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "6",
}
"""Set on every session, beside lock_timeout (`first_lock_ms`). `session_replication_role` needs a superuser
and is skipped for others, whose default it is."""

NEWER_SETTINGS = {"idle_session_timeout": 140000, "transaction_timeout": 170000}
"""Time limits to be lifted as well, with the server version that brought each."""

GONE_CLIENT = ("client_connection_check_interval", "2s", 140000)
"""While a statement runs the server looks so often whether its client is still there, and ends it where it is not: VALIDATE of a
large table would keep the place of whoever works on a rollout for hours. With the server version that brought it."""

FIRST_LOCK_MS = 300
"""How long any lock is waited for, at most: less than deadlock_timeout's default, so that we yield first (I0)."""

LOOK_SECONDS = 0.2
"""How often it is looked whether a statement is to be ended."""

_PASSWORD = re.compile(r"(password\s*=\s*)('[^']*'|[^\s&]+)|(://[^:/@\s]*:)[^@\s]*@", re.IGNORECASE)


def without_password(text: str) -> str:
    """The text with whatever looks like a password in a connection string replaced by ***."""
    return _PASSWORD.sub(lambda m: f"{m[1]}***" if m[1] else f"{m[3]}***@", text)


_ENCODED = " In a URL, the signs @ / ? # : of a password are written as %40 %2F %3F %23 %3A."


def password_in(dsn: str) -> str:
    """Whatever of a connection string may be a password: read generously where the string is not well formed, since libpq then
    takes parts of the password for a host, a port or a word. '' where there is none."""
    url = re.search(r"://[^:/@\s]*:(.*)@", dsn, re.DOTALL)
    if url:
        return url[1]
    try:
        return str(conninfo.conninfo_to_dict(dsn).get("password") or "")
    except psycopg.ProgrammingError:
        word = re.search(r"password\s*=\s*(.*)", dsn, re.IGNORECASE | re.DOTALL)
        return word[1] if word else ""


def _said(error: psycopg.Error, dsn: str) -> str:
    """What libpq said, without a word of the password in it."""
    text, secret = without_password(str(error).strip()), password_in(dsn)
    if not secret:
        return text
    both = f"{secret} {unquote(secret)}"
    words = {word for word in re.split(r"[\s/?#@:&=]+", both) if len(word) > 1}

    def hidden(match: re.Match[str]) -> str:
        token = match[2]
        return f"{match[1]}***{match[1]}" if token in both or any(word in token for word in words) else match[0]

    text = re.sub(r"""(["'])(.+?)\1""", hidden, text)
    for word in (secret, unquote(secret)):
        text = text.replace(word, "***")
    return text


def connect(dsn: str, *, purpose: str = "", connect_timeout: int = 10) -> Connection:
    """An autocommit session with `SESSION_SETTINGS`, named `hyperferry <purpose>` in pg_stat_activity.

    `dsn` may be empty: libpq's own variables, service and password files then decide. The encoding is UTF-8 whatever they say:
    from a database in SQL_ASCII psycopg would give bytes for text, and another encoding may lack what a key holds.
    Raises ConnectionFailed with what libpq said (never the password).
    """
    try:
        conn = psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=connect_timeout,
            application_name=f"hyperferry {purpose}".strip(),
            client_encoding="utf8",
            prepare_threshold=None,
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            # What was sent and never acknowledged is waited for as long: the system would for a quarter of an hour.
            tcp_user_timeout=60_000,
        )
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise ConnectionFailed(
            "Cannot connect to the PostgreSQL server.",
            facts={"server said": _said(error, dsn)},
            remedy="give a reachable server with --dsn, DATABASE_URL or libpq's variables (PGHOST, PGSERVICE, ...)."
            + (_ENCODED if "://" in dsn and password_in(dsn) else ""),
        ) from None
    settings = dict(SESSION_SETTINGS)
    settings |= {name: "0" for name, since in NEWER_SETTINGS.items() if conn.info.server_version >= since}
    superuser = conn.info.parameter_status("is_superuser") == "on"
    if not superuser:
        settings.pop("session_replication_role")
    gone, interval, since = GONE_CLIENT
    try:
        _set(conn, {**settings, gone: interval} if conn.info.server_version >= since else settings)
    except psycopg.errors.InvalidParameterValue:  # the server's system cannot tell whether a client is still there
        _set(conn, settings)
    # Never as long as deadlock_timeout: in a deadlock with the application it is always we who give way.
    execute(
        conn,
        "SELECT set_config('lock_timeout', LEAST(%s, setting::int / 2) || 'ms', false) "
        "FROM pg_settings WHERE name = 'deadlock_timeout'",
        [FIRST_LOCK_MS],
    )
    return conn


def _set(conn: Connection, settings: Mapping[str, str]) -> None:
    calls = (
        sql.SQL("pg_catalog.set_config({}, {}, false)").format(sql.Literal(name), sql.Literal(value))
        for name, value in settings.items()
    )
    execute(conn, sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls)))


def connect_beside(conn: Connection, *, purpose: str) -> Connection:
    """One more session, to where `conn` is connected and as whom. Raises ConnectionFailed."""
    return connect(conninfo.make_conninfo(conn.info.dsn, password=conn.info.password or None), purpose=purpose)


def execute(conn: Connection, statement: Statement, params: Params = None) -> psycopg.Cursor[tuple[Any, ...]]:
    """Runs one statement (or, without params, several in one message) and returns its cursor.

    A percent sign in an identifier or a literal is itself; in SQL text it begins a placeholder as soon as there are params.
    """
    if isinstance(statement, str):
        return conn.execute(statement, params)
    composed: Any = statement if params is None else _percent_safe(statement, conn)
    return conn.execute(composed, params)


def _percent_safe(part: Any, conn: Connection) -> Any:
    """The statement with percent signs doubled where they are no placeholder's: psycopg looks in names and in
    fragments (an index's predicate, say) too."""
    if isinstance(part, sql.Composed):
        return sql.Composed([_percent_safe(each, conn) for each in part])
    if isinstance(part, sql.Identifier | sql.Literal | Fragment):
        return sql.SQL(part.as_string(conn).replace("%", "%%"))
    return part


def fetch_all(conn: Connection, statement: Statement, params: Params = None) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return execute(conn, statement, params).fetchall()


def fetch_one(conn: Connection, statement: Statement, params: Params = None) -> tuple[Any, ...] | None:
    """The first row of a query, None where there is none."""
    return execute(conn, statement, params).fetchone()


def fetch_value(conn: Connection, statement: Statement, params: Params = None) -> Any:
    """The first column of the first row, None where there is no row."""
    row = fetch_one(conn, statement, params)
    return None if row is None else row[0]


def at_most(conn: Connection, setting: str, most: int) -> None:
    """Within a transaction, to its end: the setting, a whole number, is as it was, or `most` where that is less."""
    execute(
        conn,
        "SELECT pg_catalog.set_config(%(name)s, LEAST(pg_catalog.current_setting(%(name)s)::int, %(most)s)::text, true)",
        {"name": setting, "most": most},
    )


@contextmanager
def cancelled_when(conn: Connection, stop: threading.Event) -> Iterator[None]:
    """Has the server end what the connection waits for within the block as soon as `stop` is set: QueryCanceled there."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            if stop.is_set() and not conn.closed:
                with suppress(psycopg.Error):
                    conn.cancel_safe(timeout=2)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@contextmanager
def answered_within(conn: Connection, seconds: float) -> Iterator[None]:
    """Cuts the connection where the block takes longer: an answer that never comes (the way to the server swallows it, and does
    not close) looks like a lost connection then, instead of being waited for without an end."""

    def cut() -> None:
        with suppress(OSError, psycopg.Error):
            wire = socket.socket(fileno=conn.fileno())
            try:
                wire.shutdown(socket.SHUT_RDWR)
            finally:
                wire.detach()  # psycopg's own, and psycopg closes it

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
