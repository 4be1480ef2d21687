"""Continuous aggregates against their queries: check-aggregates."""

from __future__ import annotations

import click

from hyperferry.errors import Refused, Usage

from .options import Call, common, table_argument, table_of
from .render.aggregates import check_json, check_lines
from .stopping import Words

COMPARING = Words(
    (
        "Stopping: the bucket in work is finished first.",
        "Still finishing what is in flight. Once more, and it is left; the server undoes what was not committed.",
    ),
    "Left in the middle of a bucket.",
    "run the same command again.",
)


@click.command("check-aggregates", short_help="Compare continuous aggregates with their queries.")
@table_argument
@click.option(
    "--aggregate", metavar="NAME", help="Check this one alone. Without it: every one of the hypertable."
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="N",
    help="How many buckets of each are drawn.",
)
@click.option("--all", "every", is_flag=True, help="Compare every bucket.")
@click.option(
    "--seed", type=int, default=1, show_default=True, metavar="N", help="Decides which buckets are drawn."
)
@click.option("--repair", is_flag=True, help="Refresh the buckets that differ, and compare them again.")
@common
def check_aggregates(
    call: Call, table: str | None, aggregate: str | None, samples: int, every: bool, seed: int, repair: bool
) -> int:
    """Compare what the continuous aggregates of a hypertable keep with what their queries give, while writers run.

    A bucket that waits for a refresh, or whose raw rows were dropped, is shown apart and is no difference. Floats are
    compared within a billionth, everything else exactly. Ends with exit code 3 where they differ.
    """
    from hyperferry import upkeep

    if aggregate is not None and not aggregate.strip():
        raise Usage("--aggregate names nothing.", remedy="give a continuous aggregate's name.")
    settings = call.settings(table=table)
    with call.stoppable(COMPARING) as stop:
        report = upkeep.check_aggregates(
            settings.dsn,
            table_of(settings),
            aggregate=aggregate,
            samples=samples,
            every=every,
            seed=seed,
            repair=repair,
            stop=stop,
            say=call.out.say,
        )
    call.out.give(check_json(report), check_lines(report))
    return 0 if report.match else Refused.exit_code
