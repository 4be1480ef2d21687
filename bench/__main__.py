"""`python -m bench`: measures, prints, keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime

import click

from . import backlog, capture, conversion, page
from .contenders import CONTENDERS
from .place import Place, machine, place, revision, server_settings
from .result import FOLDER, Figure, Ratio, Result, keep, last_kept, worse
from .tables import COUNTS, SHAPES


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def numbers(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    """1e6,5000000 -> (1000000, 5000000)"""
    try:
        return tuple(int(float(word.replace("_", ""))) for word in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of numbers") from None


def words(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    """a;b -> (a, b)"""
    return tuple(word.strip() for word in value.split(";"))


@click.group()
def bench() -> None:
    """What hyperferry costs, side by side with what a user would do otherwise."""


@bench.command()
@click.option("--rows", default="1e6,5e6,20e6", callback=numbers, help="Sizes, with commas.")
@click.option("--shapes", default=";".join(SHAPES), callback=words, help="narrow;wide")
@click.option("--indexes", default=",".join(map(str, COUNTS)), callback=numbers, help="Numbers of indexes, with commas.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--release", default="stable;testing", callback=words, help="stable;testing")
@click.option("--who", default=";".join(CONTENDERS), callback=words, help="Who takes part, with semicolons.")
@click.option("--keep/--no-keep", "kept", default=True, help="Whether the result is kept and the page made anew.")
def convert(
    rows: tuple[int, ...], shapes: tuple[str, ...], indexes: tuple[int, ...], rounds: int, release: tuple[str, ...],
    who: tuple[str, ...], kept: bool,
) -> None:  # fmt: skip
    """How long the conversion takes, by every way there is."""
    unknown = [name for name in who if name not in CONTENDERS]
    if unknown:
        raise click.BadParameter(f"nobody is called {unknown[0]!r}; there are: {'; '.join(CONTENDERS)}")
    sizes = conversion.Sizes(rows, shapes, indexes, rounds, who)
    each("conversion", release, lambda where: conversion.measure(where, sizes, say), kept)


def each(
    name: str, release: tuple[str, ...], measure: Callable[[Place], tuple[list[Figure], list[Ratio]]], kept: bool
) -> None:
    """Measures on a new server of each release, and finishes."""
    about, figures, ratios, servers = machine(), list[Figure](), list[Ratio](), dict[str, dict[str, str]]()
    for one in release:
        with place(one) as where:
            with where.connect() as conn:
                servers[f"PG {where.postgres} / TS {where.timescaledb} {where.edition}"] = server_settings(conn)
            more, rates = measure(where)
            figures += more
            ratios += rates
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    finish(Result(name, revision(), at, about, servers, tuple(figures), tuple(ratios)), kept=kept)


@bench.command("capture")
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(20_000))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--release", default="stable;testing", callback=words, help="stable;testing")
@click.option("--keep/--no-keep", "kept", default=True, help="Whether the result is kept and the page made anew.")
def cost_of_capture(rows: int, rounds: int, release: tuple[str, ...], kept: bool) -> None:
    """What capturing their writes costs the writers."""
    each("capture", release, lambda where: capture.measure(where, rows, rounds, say), kept)


@bench.command("apply")
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(20_000))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--rates", default="500,2000,5000", callback=numbers, help="Writes a second that refill it, with commas.")
@click.option("--release", default="stable;testing", callback=words, help="stable;testing")
@click.option("--keep/--no-keep", "kept", default=True, help="Whether the result is kept and the page made anew.")
def rate_of_apply(rows: int, rounds: int, rates: tuple[int, ...], release: tuple[str, ...], kept: bool) -> None:
    """How fast a backlog of changes is applied, alone and refilled."""
    each("apply", release, lambda where: backlog.measure(where, rows, rounds, rates, say), kept)


def finish(result: Result, *, kept: bool) -> None:
    """Prints the result, compares it with the last kept one, keeps it."""
    before = last_kept(result.name)
    for ratio in result.ratios:
        verdict = "" if ratio.met is None else (f"  (aim {ratio.aim}: {'met' if ratio.met else 'MISSED'})")
        print(f"{ratio.median:6.2f} ± {ratio.spread / 2:.2f}  {ratio.who} over {ratio.over}: {ratio.case}{verdict}")
    for line in worse(result, before) if before else ():
        print(line)
    if kept:
        print(f"kept: {keep(result)}")
        (FOLDER / "index.html").write_text(page.render(FOLDER), "utf-8")


if __name__ == "__main__":
    bench()
