"""`python -m bench`: measures, prints, keeps. Without a command: all cases."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from . import backlog, capture, cases, conversion, feel, growth, swaps
from .contenders import CONTENDERS
from .run import run, write_pages
from .tables import COUNTS, SHAPES

RELEASES = ("stable", "testing")
Command = Callable[..., Any]


def numbers(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    """1e6,5000000 -> (1000000, 5000000)"""
    try:
        return tuple(int(float(word.replace("_", ""))) for word in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of numbers") from None


def number(context: click.Context, option: click.Parameter, value: str) -> int:
    """5e6 -> 5000000"""
    [one] = numbers(context, option, value)
    return one


def tables(context: click.Context, option: click.Parameter, value: str) -> tuple[tuple[int, int], ...]:
    """2e5x10,2e6x10 -> ((200000, 10), (2000000, 10)); - -> ()"""
    if value == "-":
        return ()
    try:
        return tuple(
            (int(float(rows)), int(chunks)) for rows, chunks in (word.split("x") for word in value.split(","))
        )
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of ROWSxCHUNKS") from None


def words(known: tuple[str, ...]) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    """a,b -> (a, b), each of them known; with semicolons where a name has a comma itself."""
    mark = ";" if any("," in word for word in known) else ","

    def parse(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
        found = tuple(word.strip() for word in value.split(mark))
        for word in found:
            if word not in known:
                raise click.BadParameter(f"there is no {word!r}; there are: {f'{mark} '.join(known)}")
        return found

    return parse


def common(command: Command) -> Command:
    """The options that all cases have."""
    for option in (
        click.option(
            "--release", default=",".join(RELEASES), callback=words(RELEASES), help="stable,testing"
        ),
        click.option(
            "--keep/--no-keep", default=True, help="Whether the result is kept and the pages are made anew."
        ),
    ):
        command = option(command)
    return command


rounds_option = click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))


def rows_option(default: str) -> Command:
    """The size of the one table of a case."""
    return click.option(
        "--rows", default=default, show_default=True, callback=number, help="Rows of the table."
    )


@click.group()
def bench() -> None:
    """What hyperferry costs, side by side with what a user would do otherwise."""


@bench.command("all")
@click.option(
    "--only",
    default=",".join(cases.quick(1)),
    callback=words(tuple(cases.quick(1))),
    help="Which cases, with commas.",
)
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1))
@click.option("--quick", is_flag=True, help="Tiny sizes, that only show that everything runs.")
@common
def all_cases(only: tuple[str, ...], rounds: int, quick: bool, release: tuple[str, ...], keep: bool) -> None:
    """All cases, each kept as soon as it is measured."""
    chosen = cases.quick(rounds) if quick else cases.usual(rounds)
    whole = [run(name, release, chosen[name], keep=keep) for name in only]
    sys.exit(0 if all(whole) else 1)


@bench.command()
@click.option(
    "--rows", default="1e6,5e6,20e6", show_default=True, callback=numbers, help="Sizes, with commas."
)
@click.option("--shapes", default=",".join(SHAPES), callback=words(SHAPES), help="narrow,wide")
@click.option(
    "--indexes", default=",".join(map(str, COUNTS)), callback=numbers, help="Numbers of indexes, with commas."
)
@click.option(
    "--who",
    default=";".join(CONTENDERS),
    callback=words(tuple(CONTENDERS)),
    help="Who takes part, with semicolons.",
)
@click.option(
    "--statistics-target",
    type=click.IntRange(1, 10_000),
    help="The server's default_statistics_target; 10 makes ANALYZE, which is apart, quick.",
)
@rounds_option
@common
def convert(rows: tuple[int, ...], shapes: tuple[str, ...], indexes: tuple[int, ...], who: tuple[str, ...], rounds: int,
            statistics_target: int | None, release: tuple[str, ...], keep: bool) -> None:  # fmt: skip
    """How long the conversion takes, by every way there is, and what of it the verification is."""
    sizes = conversion.Sizes(rows, shapes, indexes, rounds, who, statistics_target)
    sys.exit(
        not run("conversion", release, lambda place, say: conversion.measure(place, sizes, say), keep=keep)
    )


@bench.command("feel")
@rows_option("5e6")
@click.option(
    "--rate", default=500, show_default=True, type=click.IntRange(10), help="Transactions a second."
)
@click.option(
    "--seconds",
    default=30.0,
    show_default=True,
    type=click.FloatRange(1),
    help="Length of each phase that has none of its own.",
)
@click.option(
    "--backlog", default="5e5", show_default=True, callback=number, help="Changes to catch up with."
)
@rounds_option
@common
def what_writers_feel(
    rows: int, rate: int, seconds: float, backlog: int, rounds: int, release: tuple[str, ...], keep: bool
) -> None:
    """What writers feel in each phase of a rollout."""
    sizes = feel.Sizes(rows, rate, seconds, backlog, rounds)
    sys.exit(not run("feel", release, lambda place, say: feel.measure(place, sizes, say), keep=keep))


@bench.command("capture")
@rows_option("1e6")
@click.option("--copy", "copied", default="1e6", show_default=True, callback=number, help="Rows of the COPY.")
@click.option(
    "--singles",
    default=2_000,
    show_default=True,
    type=click.IntRange(capture.SLICE),
    help="Statements of one row.",
)
@click.option(
    "--bulks", default=20, show_default=True, type=click.IntRange(1), help="Statements of 10,000 rows."
)
@rounds_option
@common
def cost_of_capture(
    rows: int, copied: int, singles: int, bulks: int, rounds: int, release: tuple[str, ...], keep: bool
) -> None:
    """What capturing their writes costs the writers."""
    sizes = capture.Sizes(rows, copied, singles, bulks, rounds)
    sys.exit(not run("capture", release, lambda place, say: capture.measure(place, sizes, say), keep=keep))


@bench.command("apply")
@rows_option("1e6")
@click.option(
    "--rates",
    default="500,2000,5000",
    show_default=True,
    callback=numbers,
    help="Writes a second that refill it, with commas.",
)
@rounds_option
@common
def rate_of_apply(
    rows: int, rates: tuple[int, ...], rounds: int, release: tuple[str, ...], keep: bool
) -> None:
    """How fast a backlog of changes is applied, alone and refilled."""
    sizes = backlog.Sizes(rows, rounds, rates)
    sys.exit(not run("apply", release, lambda place, say: backlog.measure(place, sizes, say), keep=keep))


@bench.command("swap")
@click.option(
    "--tables",
    "sizes",
    default="2e5x10,2e6x10,2e5x1000,2e5x4000",
    show_default=True,
    callback=tables,
    help="ROWSxCHUNKS, with commas.",
)
@click.option(
    "--hanging",
    default="2e5x10,2e5x1000",
    show_default=True,
    callback=tables,
    help="Further tables, with a foreign key and a user trigger; none: '-'.",
)
@click.option(
    "--swaps",
    "count",
    default=10,
    show_default=True,
    type=click.IntRange(1),
    help="Cutovers, and as many rollbacks, of each.",
)
@click.option("--writers", default=4, show_default=True, type=click.IntRange(1))
@click.option(
    "--rate",
    default=500,
    show_default=True,
    type=click.IntRange(0),
    help="Statements of all writers a second; 0: as many as they can.",
)
@common
def stall_of_swaps(
    sizes: tuple[tuple[int, int], ...],
    hanging: tuple[tuple[int, int], ...],
    count: int,
    writers: int,
    rate: int,
    release: tuple[str, ...],
    keep: bool,
) -> None:
    """How long writers stand still at cutovers and rollbacks, by rows and chunks."""
    what = swaps.Sizes(sizes, count, writers, rate or None, hanging)
    sys.exit(not run("swap", release, lambda place, say: swaps.measure(place, what, say), keep=keep))


@bench.command("growth")
@click.option(
    "--rows", default="1e6,5e6,10e6,20e6", show_default=True, callback=numbers, help="Sizes, with commas."
)
@rounds_option
@common
def growth_of_all(rows: tuple[int, ...], rounds: int, release: tuple[str, ...], keep: bool) -> None:
    """Seconds per million rows, memory, WAL and disk, by size."""
    sizes = growth.Sizes(rows, rounds)
    sys.exit(not run("growth", release, lambda place, say: growth.measure(place, sizes, say), keep=keep))


@bench.command("page")
def make_pages() -> None:
    """Write bench/results/index.html and docs/speed.md from what is kept."""
    write_pages()


if __name__ == "__main__":
    bench()
