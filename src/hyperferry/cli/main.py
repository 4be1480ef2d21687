"""The tree of commands, and the one place where a failure becomes a message and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from hyperferry import __version__

from .advise import advise
from .aggregates import check_aggregates
from .alembic import alembic_group
from .bench import bench
from .check import verify
from .check_migrations import check_migrations
from .ci import ci_group
from .declare import apply, diff
from .failure import explain
from .flag import flag
from .health import health
from .look import plan, preflight, status
from .maintain import maintain
from .move import abort, pause, resume, start, sync, throttle
from .output import Output
from .reads import reads
from .rehearse import rehearse
from .roles import roles
from .sandbox import sandbox_group
from .show import demo
from .swap import cutover, finish, rollback


class Ordered(click.Group):
    """Commands in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order in which they were added."""
        return list(self.commands)


@click.group(
    cls=Ordered,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 failed; 2 wrong usage; 3 refused (a blocker, a difference, a stale plan, a "
    "missing confirmation); 4 interrupted, the work kept: run the same command again.",
)
@click.version_option(__version__, prog_name="hyperferry", message="%(prog)s %(version)s")
def cli() -> None:
    """Take a live PostgreSQL table into a TimescaleDB hypertable: online, checked, and reversibly.

    See it work: hyperferry demo. On a table of yours: preflight, plan, start, cutover; rollback as long as
    you like; finish.
    """


for command in (
    sandbox_group,
    demo,
    roles,
    preflight,
    advise,
    rehearse,
    plan,
    start,
    sync,
    status,
    pause,
    resume,
    throttle,
    verify,
    bench,
    cutover,
    rollback,
    finish,
    abort,
    diff,
    apply,
    check_aggregates,
    health,
    maintain,
    flag,
    reads,
    alembic_group,
    check_migrations,
    ci_group,
):
    cli.add_command(command)


def main() -> NoReturn:
    """The program. Ends with the exit codes of the design, and never with a traceback."""
    _open_missing()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets it written out instead.
        with contextlib.suppress(AttributeError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError as error:
        code = max(code, _lost_stdout(error))
    sys.exit(code)


def _open_missing() -> None:
    """Opens the null device for each stream that was closed before we began: Python has None for it, and what is opened next
    would get its number, here and in the programs that we start."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; gives its exit code."""
    wants_json = (
        "--json" in arguments[: arguments.index("--")] if "--" in arguments else "--json" in arguments
    )
    try:
        code = cli.main(args=list(arguments), prog_name="hyperferry", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return error.exit_code
        return _failed(error, wants_json)
    except SystemExit as end:
        # click itself ends so on a broken pipe.
        return end.code if isinstance(end.code, int) else 1
    except BrokenPipeError as error:
        return _lost_stdout(error)
    except BaseException as error:
        return _failed(error, wants_json)


def _failed(error: BaseException, wants_json: bool) -> int:
    explained = explain(error)
    if os.environ.get("HYPERFERRY_DEBUG"):
        traceback.print_exception(error)
    try:
        Output(wants_json).fail(explained)
    except OSError as lost:
        _lost_stdout(lost)
    return explained.exit_code


def _lost_stdout(error: OSError) -> int:
    """Nobody reads stdout any more, or it is full: say so where it is not plain, and fail on it no more."""
    if error.errno != errno.EPIPE:
        with contextlib.suppress(OSError):
            print(f"Error: the output could not be written: {error.strerror}.", file=sys.stderr)
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
