"""Every exception that can happen, as one that a user can read."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

import click
import psycopg

from hyperferry.db.connection import without_password
from hyperferry.errors import ConnectionFailed, Failed, HyperferryError, Interrupted, Usage

_REMEDIES = {
    # SQLSTATE or its class -> what happened, what to do next
    "42501": (
        "The role may not do this.",
        "connect as the table's owner; `hyperferry preflight` lists the rights that are missing.",
    ),
    "25006": (
        "The server takes no writes from this session.",
        "a standby or a read-only setting is in the way: connect to the primary.",
    ),
    "57014": (
        "The server cancelled a statement.",
        "somebody did, or a time limit ran out; run the same command again: what was committed is kept.",
    ),
    "55P03": (
        "A lock was not to be had.",
        "somebody uses the table; end or wait for their transaction, then run the same command again.",
    ),
    "40P01": ("Two sessions waited for each other and ours gave way.", "run the same command again."),
    "53100": (
        "The server's disk is full.",
        "free space on the server, then run the same command again: work that was committed is kept.",
    ),
    "53200": (
        "The server is out of memory or of room for locks.",
        "raise max_locks_per_transaction or memory, or take a wider --chunk-interval, and try again.",
    ),
    "53300": ("The server has no connection left.", "close other sessions or raise max_connections."),
    "42P01": (
        "A table that is needed is not there.",
        "check the name, the schema and the database in the connection.",
    ),
    "22P02": ("A value could not be read as its type.", "check the options that were given."),
    "22007": (
        "A time or an interval could not be read.",
        "check the options that were given, --chunk-interval above all.",
    ),
}


def explain(error: BaseException) -> HyperferryError:
    """The error as one with facts, a remedy and an exit code. Passwords are taken out of it."""
    if isinstance(error, HyperferryError):
        return error
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx is not None else "hyperferry"
        return Usage(error.format_message(), remedy=f"`{path} --help` says what it takes.")
    if isinstance(error, click.FileError):
        return Usage(error.format_message(), remedy="name a file that can be read.")
    if isinstance(error, click.ClickException):
        return Failed(error.format_message())
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Interrupted(
            "Interrupted.", remedy="what was committed is kept; run the same command again to go on with it."
        )
    if isinstance(error, psycopg.Error):
        return _of_server(error)
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, MemoryError):
        return Failed(
            "This machine has no memory left for hyperferry.", remedy="end other programs, then try again."
        )
    return _of_bug(error)


def as_json(error: HyperferryError) -> dict[str, Any]:
    """The failure as other programs read it."""
    return {
        "error": without_password(error.message),
        "facts": {name: _plain(value) for name, value in error.facts.items()},
        "remedy": None if error.remedy is None else without_password(error.remedy),
        "exit_code": error.exit_code,
    }


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return without_password(str(value))


def _of_server(error: psycopg.Error) -> HyperferryError:
    state = error.sqlstate or ""
    diagnosis = error.diag
    facts: dict[str, object] = {
        "server said": without_password(diagnosis.message_primary or str(error).strip())
    }
    if state:
        facts["SQLSTATE"] = state
    for name, value in (
        ("detail", diagnosis.message_detail),
        ("hint", diagnosis.message_hint),
        ("context", diagnosis.context),
    ):
        if value:
            facts[name] = without_password(value.splitlines()[0])
    if state.startswith(("08", "57P")) or (not state and isinstance(error, psycopg.OperationalError)):
        return ConnectionFailed(
            "The connection to the server was lost.",
            facts=facts,
            remedy="when the server answers again, run the same command: what was committed is kept.",
        )
    message, remedy = _REMEDIES.get(
        state,
        (
            "The server refused a statement.",
            "what was committed is kept; `hyperferry status` shows where the rollout stands. Where the facts "
            "do not tell what to change, report them: hyperferry should have seen this coming.",
        ),
    )
    return Failed(message, facts=facts, remedy=remedy)


def _of_system(error: OSError) -> HyperferryError:
    facts: dict[str, object] = {"reason": error.strerror or str(error)}
    if error.filename is not None:
        facts["file"] = error.filename
    remedies = {
        errno.ENOSPC: "free space on that disk, then run the same command again.",
        errno.EACCES: "choose a file or folder that you may use.",
        errno.ENOENT: "check the path.",
    }
    return Failed(
        "The operating system refused something.",
        facts=facts,
        remedy=remedies.get(error.errno or 0, "remove the cause named, then run the same command again."),
    )


def _of_bug(error: BaseException) -> HyperferryError:
    where = "?"
    trace = error.__traceback__
    while trace is not None:
        where = (
            f"{trace.tb_frame.f_code.co_filename.rpartition('hyperferry')[2].lstrip('/')}:{trace.tb_lineno}"
        )
        trace = trace.tb_next
    return Failed(
        "hyperferry met something that it did not expect; this is a fault of its own.",
        facts={"what": f"{type(error).__name__}: {without_password(str(error))}", "where": where},
        remedy="what was committed is kept; `hyperferry status` shows where the rollout stands. "
        "Set HYPERFERRY_DEBUG=1 to see the whole trace, and report it.",
    )
