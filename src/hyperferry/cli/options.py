"""What all commands share: the connection, the settings, --json."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from hyperferry.config import ACCEPT_RULES, Settings, load_settings
from hyperferry.db.connection import password_in
from hyperferry.errors import Usage
from hyperferry.model.names import name_parts
from hyperferry.model.plan import Strategy
from hyperferry.model.plan_options import DEFAULT_BATCH_ROWS, DEFAULT_WORKERS, MOST_WORKERS, PlanOptions
from hyperferry.model.throttle import DEFAULTS, FACTOR_FLOOR_MS, parse_limit
from hyperferry.times import parse_wait

from .output import Output
from .stopping import ROLLOUT, Words, stopping

PASSWORD_NOTE = (
    "Note: the password in --dsn can be seen in the process list while this command runs, and stays in the shell's history. "
    "DATABASE_URL, PGPASSWORD, a service file or a password file keep it out of both."
)

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Call:
    """One call of a command: where it prints, and what connects it."""

    dsn: str | None
    config: Path | None
    out: Output

    def settings(self, **flags: Any) -> Settings:
        """The settings under these flags. The database is asked whether TABLE is the file's table where one of the two names has
        a schema and the other has none. Raises Usage."""
        return load_settings({"dsn": self.dsn, **flags}, config=self.config, same_there=same_there)

    @contextmanager
    def stoppable(self, words: Words = ROLLOUT) -> Iterator[threading.Event]:
        """An event that Ctrl-C and SIGTERM set; `words` say what then happens."""
        with stopping(self.out.say, self.out.fail, words) as stop:
            yield stop


def common(function: F) -> F:
    """Adds --dsn, --config and --json, and gives the command a `Call` as its first argument."""

    @click.option(
        "--dsn",
        metavar="DSN",
        help="The database, as a URL or as key=value pairs. Without it: DATABASE_URL, else libpq's own "
        "variables (PGHOST, PGSERVICE, ...) and password file.",
    )
    @click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Settings to read instead of ./hyperferry.toml.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object on stdout.")
    @functools.wraps(function)
    def command(dsn: str | None, config: Path | None, as_json: bool, **arguments: Any) -> Any:
        if dsn is not None and password_in(dsn):
            Output(as_json).say(PASSWORD_NOTE)
        return function(Call(dsn, config, Output(as_json)), **arguments)

    return command  # type: ignore[return-value]


def table_argument(function: F) -> F:
    """TABLE, which `table` in hyperferry.toml can stand for."""
    return click.argument("table", required=False, metavar="TABLE")(function)


def plan_options(function: F) -> F:
    """The options that steer a plan."""
    options = (
        click.option(
            "--time", "time_column", metavar="COLUMN", help="The column that the hypertable is cut by."
        ),
        click.option(
            "--chunk-interval",
            metavar="WIDTH",
            help="The width of a chunk: '7 days', for an integer column a number in its unit as well. "
            "Without it: from the data's span and size by TimescaleDB's rule, the arithmetic shown.",
        ),
        click.option(
            "--strategy",
            type=click.Choice([each.value for each in Strategy]),
            help="blue-green (the default) builds the hypertable beside the table while writers go on; "
            "in-place converts the table itself and blocks it meanwhile, for empty and small tables.",
        ),
        click.option(
            "--batch-rows",
            type=click.IntRange(min=1),
            metavar="N",
            help=f"Rows in one copying transaction (default {DEFAULT_BATCH_ROWS}).",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, 64),
            metavar="N",
            help=f"Copying sessions at once (default: half of the server's cores, {DEFAULT_WORKERS} to {MOST_WORKERS}; "
            f"{DEFAULT_WORKERS} where the server is another machine).",
        ),
    )
    function = given_up_options(compression_options(function))
    for option in reversed(options):
        function = option(function)
    return function


def compression_options(function: F) -> F:
    """--compress and what belongs to it."""
    options = (
        click.option(
            "--compress",
            is_flag=True,
            default=None,
            help="Compress each chunk of the hypertable once it is copied whole and old enough, while the copy goes on "
            "(Community edition): the disk never holds the table twice.",
        ),
        click.option(
            "--segment-by",
            multiple=True,
            metavar="COLUMN",
            help="With --compress: a column whose rows of one value are kept together, as queries ask for them. Several "
            "times for several.",
        ),
        click.option(
            "--order-by",
            multiple=True,
            metavar="ORDER",
            help="With --compress: how rows are ordered within a segment, 'game_date DESC'. Several times for several; "
            "without it the time, newest first, then the key.",
        ),
        click.option(
            "--compress-after",
            metavar="AGE",
            help="With --compress: only chunks that end so far back ('30 days'; for an integer column a number in its unit, "
            "counted from the greatest value). Without it every chunk whose time is over.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def given_up_options(function: F) -> F:
    """--drop-inbound-fk and --drop-from-publication: what a hypertable cannot keep."""
    function = click.option(
        "--drop-from-publication",
        "drop_from_publications",
        multiple=True,
        metavar="NAME",
        help="Have the cutover take the table out of this publication; a rollback puts it back. Several times for several.",
    )(function)
    return click.option(
        "--drop-inbound-fk",
        "drop_inbound_fks",
        multiple=True,
        metavar="NAME",
        help="Have the cutover drop this foreign key of another table (constraint, table.constraint or "
        "schema.table.constraint); a rollback puts it back. Several times for several.",
    )(function)


def limit_options(function: F) -> F:
    """The limits of the throttle."""
    texts = {
        "max_rate": ("N", "Copy at most so many rows per second, all workers together."),
        "max_replica_lag": ("SECONDS", "Copying waits while a replica is further behind."),
        "max_slot_lag": (
            "BYTES",
            "Copying waits while a replication slot keeps more WAL ('10GB'), or is close to being lost.",
        ),
        "max_latency": (
            "LIMIT",
            "Copying waits while a small commit takes longer: '250ms', or '10x' what it takes without copying "
            f"(then never less than {FACTOR_FLOOR_MS:.0f} ms).",
        ),
        "max_lock_wait": (
            "SECONDS",
            "Copying waits while somebody has waited longer for a lock on the table.",
        ),
        "max_cores": (
            "N",
            "Copy, build indexes and verify on at most so many of the server's cores while others are at work there, or on "
            "'half' of them, where it can be seen how many there are.",
        ),
    }
    for name, (metavar, text) in reversed(texts.items()):
        names = [f"--{name.replace('_', '-')}", name]
        if name == "max_rate":
            names.insert(0, "--rate")
        function = click.option(
            *names, metavar=metavar, help=f"{text} 'none' for no limit (default {DEFAULTS[name]})."
        )(function)
    return function


def limits_among(arguments: dict[str, Any]) -> dict[str, str]:
    """Takes the limits that were given as options out of a command's arguments. Raises Usage."""
    given = {name: arguments.pop(name) for name in DEFAULTS}
    found = {name: text for name, text in given.items() if text is not None}
    for name, text in found.items():
        if text.strip().lower() == DEFAULT:
            continue
        try:
            parse_limit(name, text)
        except ValueError as error:
            raise Usage(
                f"The limit --{name.replace('_', '-')} is not understood: {error}.",
                remedy="`hyperferry throttle --help` says what each limit takes.",
            ) from None
    return found


DEFAULT = "default"
"""Given for a limit: as the configuration has it, else as hyperferry does."""


def wishes_of(given: dict[str, str]) -> dict[str, str | None]:
    """The limits as the ledger takes them: None forgets one."""
    return {name: None if text.strip().lower() == DEFAULT else text for name, text in given.items()}


def accept_option(function: F) -> F:
    """--accept RULE, several times or with commas."""
    return click.option(
        "--accept",
        multiple=True,
        metavar="RULE",
        help=f"Accept a change for the application, named as preflight names it: {', '.join(ACCEPT_RULES)}, "
        "or all. Several times, or with commas between.",
    )(function)


def attempts_option(function: F) -> F:
    """--attempts N."""
    return click.option(
        "--attempts",
        type=click.IntRange(min=1),
        default=60,
        show_default=True,
        metavar="N",
        help="How often the locks are asked for before giving up. Each attempt waits a moment only.",
    )(function)


def max_wait_option(function: F) -> F:
    """--max-wait DURATION, as seconds."""
    return click.option(
        "--max-wait",
        metavar="DURATION",
        callback=lambda ctx, param, value: None if value is None else parse_wait(value, "--max-wait"),
        help="Give up after so long in all ('30 s', '5 min'), attempts included, and name who was in the way.",
    )(function)


def pgbouncer_option(function: F) -> F:
    """--pgbouncer DSN, repeatable."""
    return click.option(
        "--pgbouncer",
        multiple=True,
        metavar="DSN",
        help="The admin console of a PgBouncer: its pools for this database are paused while the locks are taken, "
        "so that clients wait a moment and see no error. Several times for several.",
    )(function)


def table_of(settings: Settings) -> str:
    """The table of this call. Raises Usage."""
    if settings.table is None or not settings.table.strip():
        raise Usage(
            "No table was named.",
            remedy="give TABLE, or `table` in hyperferry.toml, or HYPERFERRY_TABLE in the environment.",
        )
    return settings.table


def same_there(dsn: str, one: str, other: str) -> bool:
    """Whether two names mean one table in the database. A name without a schema that means none there (the table's schema is not
    in the search_path) means whatever the other one does."""
    from hyperferry import engine

    first, second = engine.tables_of(dsn, one, other)
    without = first if len(name_parts(one)) < len(name_parts(other)) else second
    return without is None or first == second


def qualified(settings: Settings) -> str:
    """The table's name with its schema, as `status` has it; as it was given where no rollout of it is known."""
    from hyperferry import engine

    reports = engine.status(settings.dsn, table_of(settings))
    return reports[0].table if reports else table_of(settings)


def time_of(settings: Settings) -> str:
    """The time column of this call. Raises Usage."""
    if settings.time_column is None:
        raise Usage(
            "No time column was named.",
            facts={"table": table_of(settings)},
            remedy="give --time COLUMN (a timestamptz, timestamp, date or integer column), or `time_column` "
            "in hyperferry.toml.",
        )
    return settings.time_column


def options_of(settings: Settings) -> PlanOptions:
    """What the settings say about a plan."""
    return PlanOptions(
        strategy=Strategy(settings.strategy) if settings.strategy else None,
        chunk_interval=settings.chunk_interval,
        batch_rows=settings.batch_rows or DEFAULT_BATCH_ROWS,
        workers=settings.workers,
        drop_inbound_fks=settings.drop_inbound_fks,
        drop_from_publications=settings.drop_from_publications,
        compression=settings.compression,
    )
