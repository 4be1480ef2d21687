"""The declared state of a hypertable: diff, apply."""

from __future__ import annotations

import click

from hyperferry.config import Settings
from hyperferry.errors import Refused
from hyperferry.model.throttle import limits_of

from .options import Call, common, table_argument, table_of
from .stopping import Words

STEPS = Words(
    (
        "Stopping: the step in work is finished or taken back first, and every step before it is kept.",
        "Still ending the step in work. Once more, and it is left: the server undoes what was not committed.",
    ),
    "Left in the middle of a step.",
    "run the same command again: it looks at what is there, and goes on.",
)

prune_option = click.option(
    "--prune",
    multiple=True,
    metavar="KEY",
    help="Have this go, which the database has and the file does not mention; KEY as diff shows it "
    "('index:player_idx'). Several times for several.",
)


@click.command(short_help="What the file wants of a hypertable, against what the database has.")
@table_argument
@prune_option
@click.option("--sql", "as_sql", is_flag=True, help="Print the statements alone, in order.")
@common
def diff(call: Call, table: str | None, prune: tuple[str, ...], as_sql: bool) -> int:
    """Compare what hyperferry.toml declares of the hypertable TABLE with what the database has.

    Shows the steps between, in order: what each does and why, its statements, what it locks, whether it can be
    undone; what is refused, and what to do instead; and what the file does not mention. Changes nothing. Ends with
    exit code 0 when there is no difference, with 3 when there is one.
    """
    from hyperferry import reconcile

    from .render.difference import difference_json, difference_lines, sql_text

    settings = _settings(call, table)
    world = reconcile.inspect(settings.dsn, table_of(settings), settings.declared, prune=frozenset(prune))
    if as_sql:
        call.out.raw(sql_text(world.difference))
    lines = [] if as_sql else difference_lines(world)
    call.out.give(difference_json(world), lines)
    return 0 if world.difference.empty else Refused.exit_code


@click.command(short_help="Bring a hypertable to what the file wants, step by step.")
@table_argument
@prune_option
@click.option(
    "--confirm-drop",
    type=click.IntRange(min=0),
    metavar="N",
    help="Allow that retention policies drop so many chunks in their first run, which comes at once; diff tells how many.",
)
@click.option(
    "--confirm-drop-aggregate",
    "aggregates",
    multiple=True,
    metavar="NAME",
    help="Allow that a continuous aggregate which --prune names is dropped with its rows. Several times for several.",
)
@click.option(
    "--accept",
    multiple=True,
    type=click.Choice(["waiting-rows"]),
    help="Allow that retention policies drop rows that wait for a refresh: continuous aggregates would never see them.",
)
@click.option(
    "--may-block",
    is_flag=True,
    help="Allow that building an index keeps writers waiting for long, where there is no other way.",
)
@click.option(
    "--before-cutover",
    is_flag=True,
    help="While the rollout is not cut over, give its hypertable what changes no row: the chunk interval, the settings of "
    "compression, indexes. The rest waits.",
)
@common
def apply(
    call: Call,
    table: str | None,
    prune: tuple[str, ...],
    confirm_drop: int | None,
    aggregates: tuple[str, ...],
    accept: tuple[str, ...],
    may_block: bool,
    before_cutover: bool,
) -> int:
    """Bring the hypertable TABLE to what hyperferry.toml declares, one step after the other.

    Each step looks at the database first, so that the command can be interrupted and run again. Nothing is done where anything is
    refused, and no row is dropped that was not confirmed. Ends with exit code 0 when the database is as the file wants it.
    """
    from hyperferry import reconcile

    from .render.difference import applied_json, applied_lines

    settings = _settings(call, table)
    with call.stoppable(STEPS) as stop:
        report = reconcile.apply(
            settings.dsn,
            table_of(settings),
            settings.declared,
            prune=frozenset(prune),
            allowed=reconcile.Allowed(confirm_drop, frozenset(aggregates), may_block, frozenset(accept)),
            before_cutover=before_cutover,
            limits=limits_of(settings.limits),
            stop=stop,
            say=call.out.say,
        )
    call.out.give(applied_json(report), applied_lines(report))
    return 0


def _settings(call: Call, table: str | None) -> Settings:
    """The settings, whose file must be about this table and want something of it. Raises Usage."""
    from hyperferry.reconcile import refuse_another_file

    settings = call.settings(table=table)
    refuse_another_file(settings.about_another, table_of(settings), settings.declared)
    return settings
