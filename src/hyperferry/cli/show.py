"""The whole job before your eyes: demo."""

from __future__ import annotations

from pathlib import Path

import click

from hyperferry.errors import Failed

from .options import Call, common
from .render.progress import Progress
from .stopping import FOR_ITSELF


@click.command(short_help="The whole job before your eyes, in a sandbox.")
@click.option(
    "--rows",
    type=click.IntRange(min=1000),
    default=2_000_000,
    show_default=True,
    metavar="N",
    help="How many rows to generate.",
)
@click.option(
    "--csv",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Load real rows instead: a .csv or .csv.gz with the columns player_id, game_id, stat_type, value, "
    "game_date. Several times for several files.",
)
@click.option(
    "--release",
    type=click.Choice(["stable", "testing"]),
    help="The sandbox's packages: stable has PostgreSQL 17, testing has 18.",
)
@click.option(
    "--rate",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    metavar="N",
    help="Writes per second, all writers together.",
)
@click.option(
    "--writers",
    type=click.IntRange(1, 32),
    default=4,
    show_default=True,
    metavar="N",
    help="Writing processes.",
)
@click.option(
    "--seed",
    type=int,
    default=20_240_817,
    show_default=True,
    metavar="N",
    help="The same seed, the same rows.",
)
@click.option("--keep", is_flag=True, help="Leave the server and the table there to look at.")
@common
def demo(
    call: Call,
    rows: int,
    csv: tuple[Path, ...],
    release: str | None,
    rate: int,
    writers: int,
    seed: int,
    keep: bool,
) -> int:
    """Show the whole job, from a plain table to a hypertable, back, and there again, while writers write.

    In a sandbox made for it, or on the server of --dsn in a database made for it: nothing of yours is
    touched. Every figure on the screen was measured in this run. Ends with exit code 1 where any check
    failed.
    """
    from hyperferry.demo.options import DemoOptions
    from hyperferry.demo.story import run_demo

    options = DemoOptions(
        dsn=call.dsn, rows=rows, csv=csv, release=release, rate=rate, writers=writers, seed=seed, keep=keep
    )
    with call.stoppable(FOR_ITSELF) as stop, Progress(call.out.stderr) as progress:
        report = run_demo(
            options,
            console=call.out.stderr if call.out.as_json else call.out.stdout,
            say=call.out.say,
            progress=progress,
            stop=stop,
        )
    call.out.give(report.as_json(), [])
    return 0 if report.passed else Failed.exit_code
