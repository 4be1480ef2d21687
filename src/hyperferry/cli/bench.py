"""The application's queries, before and after: bench."""

from __future__ import annotations

import math
from pathlib import Path

import click

from hyperferry.errors import Refused, Usage
from hyperferry.times import parse_wait

from .files import may_write, read_text, write_whole
from .options import Call, common, table_argument, table_of
from .stopping import Words

LOOKING = Words(
    (
        "Stopping: the query that runs is cancelled.",
        "Still cancelling the query that runs. Once more, and it is left to its time limit.",
    ),
    "Left while a query ran.",
    "nothing was changed; the query ends by its time limit at the latest.",
)
FILE = click.Path(path_type=Path)
LONGEST_SECONDS = 24 * 86400.0


def _positive(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise click.BadParameter("a number from 0 on is expected.")
    return value


def _limit(text: str) -> float:
    """Seconds, as many as the server's statement_timeout takes. Raises Usage."""
    seconds = parse_wait(text, "--timeout")
    if not 0 < seconds <= LONGEST_SECONDS:
        raise Usage(
            f"--timeout {text!r} is no time limit that the server knows.",
            facts={"shortest": "more than 0", "longest": "24 days"},
            remedy="give a duration such as '30 s' or '10 min'.",
        )
    return seconds


@click.command(short_help="Your critical queries on table and hypertable, side by side.")
@table_argument
@click.option(
    "--queries", type=FILE, metavar="FILE", help="The queries, as SQL. Without it: the costliest in pg_stat_statements."
)
@click.option(
    "--top",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar="N",
    help="How many of pg_stat_statements.",
)
@click.option(
    "--write-queries",
    type=FILE,
    metavar="FILE",
    help="Write what pg_stat_statements shows, and what was inferred about parameters, as a file for --queries; run nothing.",
)
@click.option(
    "--runs",
    type=click.IntRange(1, 10_000),
    default=10,
    show_default=True,
    metavar="N",
    help="Runs of each query on each side.",
)
@click.option(
    "--draws",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    metavar="N",
    help="How many sets of values are drawn.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=1,
    show_default=True,
    metavar="N",
    help="Decides which values are drawn.",
)
@click.option(
    "--threshold",
    type=float,
    default=20.0,
    show_default=True,
    callback=_positive,
    metavar="PERCENT",
    help="A query fails whose median is slower by more, over all values or, beyond doubt, with some.",
)
@click.option(
    "--ignore-below",
    type=float,
    default=0.2,
    show_default=True,
    callback=_positive,
    metavar="MS",
    help="A loss of fewer milliseconds is none.",
)
@click.option(
    "--timeout",
    show_default="30 s, or as --against FILE was kept",
    metavar="DURATION",
    help="The longest that one run of a query may take ('5 s').",
)
@click.option(
    "--plan",
    "plans",
    type=click.Choice(["custom", "generic"]),
    show_default="custom, or as --against FILE was kept",
    help="custom: planned anew with its values each time; generic: once, as a prepared statement in the long run.",
)
@click.option(
    "--time", "time_column", metavar="COLUMN", help="The time column, where neither a rollout nor a hypertable tells."
)
@click.option(
    "--cold",
    is_flag=True,
    help="Besides, one run with the tables' pages out of the server's cache; this slows the application for a while.",
)
@click.option("--alone", is_flag=True, help="Measure what has the table's name, and compare with nothing.")
@click.option(
    "--against",
    type=FILE,
    metavar="FILE",
    help="Run a kept benchmark's queries again with the same values, and compare with it.",
)
@click.option(
    "--save", type=FILE, metavar="FILE", help="Keep the whole result as JSON, with the values drawn, for --against."
)
@click.option("--html", type=FILE, metavar="FILE", help="Write a page with plots.")
@common
def bench(
    call: Call,
    table: str | None,
    queries: Path | None,
    top: int,
    write_queries: Path | None,
    runs: int,
    draws: int,
    seed: int,
    threshold: float,
    ignore_below: float,
    timeout: str | None,
    plans: str | None,
    time_column: str | None,
    cold: bool,
    alone: bool,
    against: Path | None,
    save: Path | None,
    html: Path | None,
) -> int:
    """Run the critical queries on TABLE with EXPLAIN ANALYZE, as a plain table and as a hypertable, and judge each.

    While a rollout is open, both are there: the table and its hypertable before the cutover, the hypertable and the old
    table after it. Otherwise measure with --save before, and with --against after. Only reads: in read-only transactions,
    one query at a time, under a time limit. Ends with exit code 3 when a query is slower than the threshold allows.
    """
    from hyperferry.benchmark import BenchOptions, bench, from_text, to_text, write_template
    from hyperferry.benchmark.options import DEFAULT_TIMEOUT

    if against is not None and (queries is not None or alone):
        raise Usage(
            "--against brings its own queries, and compares.",
            remedy="leave --queries and --alone out; --against measures what has the name.",
        )
    for option, path in (("--save", save), ("--html", html), ("--write-queries", write_queries)):
        if path is not None:
            may_write(option, path)
    settings = call.settings(table=table, time_column=time_column)
    earlier = None if against is None else from_text(read_text(against), str(against))
    plans = plans or (earlier.plans if earlier is not None else "custom")
    options = BenchOptions(
        settings.dsn,
        table_of(settings),
        time_column=settings.time_column,
        queries=None if queries is None else (read_text(queries), str(queries)),
        against=earlier,
        top=top,
        runs=runs,
        draws=draws,
        seed=seed,
        threshold=threshold,
        ignored=ignore_below,
        timeout=_limit(timeout) if timeout is not None else earlier.timeout if earlier is not None else DEFAULT_TIMEOUT,
        generic=plans == "generic",
        cold=cold,
        alone=alone,
    )
    if write_queries is not None:
        text, kept, left_out = write_template(options)
        write_whole(write_queries, text)
        call.out.say(
            f"{write_queries} has {kept} queries to run, and {left_out} to complete or to leave. Look through every `-- param`."
        )
        call.out.give({"table": options.table, "file": str(write_queries), "queries": kept, "left_out": left_out}, [])
        return 0
    with call.stoppable(LOOKING) as stop:
        report = bench(options, say=call.out.say, stop=stop)
    if save is not None:
        write_whole(save, to_text(report))
    if html is not None:
        from .render.bench_page import page

        write_whole(html, page(report))
    from hyperferry.benchmark import as_json

    from .render.bench import bench_lines

    call.out.give(as_json(report), bench_lines(report))
    return Refused.exit_code if report.failed else 0
