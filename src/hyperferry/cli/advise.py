"""What becomes a table as a hypertable: advise."""

from __future__ import annotations

from pathlib import Path

import click

from hyperferry.errors import Usage
from hyperferry.words import one_line

from .files import may_write, read_text, write_whole
from .options import Call, common, table_argument, table_of

FILE = click.Path(path_type=Path)
TOML_MARK = "# Advised by hyperferry"


@click.command(short_help="Chunk interval, compression, indexes, aggregates: what fits the data, and why.")
@table_argument
@click.option("--time", "time_column", metavar="COLUMN", help="The time column; of a hypertable it is known.")
@click.option(
    "--chunk-interval",
    metavar="WIDTH",
    help="An interval that you think of: what speaks against it is said.",
)
@click.option(
    "--arrived",
    metavar="COLUMN",
    help="The column that says when a row came (without it: one named created_at, inserted_at or the like).",
)
@click.option(
    "--updated",
    metavar="COLUMN",
    help="The column that says when a row was last changed (without it: one named updated_at or the like).",
)
@click.option(
    "--queries",
    type=FILE,
    metavar="FILE",
    help="Statements as SQL, beside those that pg_stat_statements shows.",
)
@click.option(
    "--pages",
    type=click.IntRange(1, 10_000_000),
    default=2_000,
    show_default=True,
    metavar="N",
    help="How many pages of the table are read, at most about.",
)
@click.option("--exact", is_flag=True, help="Read every row instead of a sample; this can take long.")
@click.option("--html", type=FILE, metavar="FILE", help="Write a page with a histogram.")
@click.option("--toml", "as_toml", is_flag=True, help="Print the lines for hyperferry.toml alone.")
@click.option("--out", type=FILE, metavar="FILE", help="Write the lines for hyperferry.toml here.")
@common
def advise(
    call: Call,
    table: str | None,
    time_column: str | None,
    chunk_interval: str | None,
    arrived: str | None,
    updated: str | None,
    queries: Path | None,
    pages: int,
    exact: bool,
    html: Path | None,
    as_toml: bool,
    out: Path | None,
) -> int:
    """Say how TABLE's rows lie over its time, how they come and change, and what that speaks for as a hypertable.

    Before the move and after it. Reads statistics, counters, an index on the time, and a sample of a fixed number of pages:
    as cheap on a billion rows as on a million. Each recommendation has its reason, its numbers and its lines for
    hyperferry.toml. Changes nothing.
    """
    from hyperferry import advising

    from .render.advise import advice_json, advice_lines

    for option, path in (("--html", html), ("--out", out)):
        if path is not None:
            may_write(option, path)
    if out is not None:
        _ours(out)
    settings = call.settings(table=table, time_column=time_column, chunk_interval=chunk_interval)
    advice = advising.advise(
        advising.AdviseOptions(
            settings.dsn,
            table_of(settings),
            time_column=settings.time_column,
            given=settings.chunk_interval,
            arrived=arrived,
            updated=updated,
            pages=pages,
            exact=exact,
            queries=None if queries is None else (read_text(queries), str(queries)),
        ),
        say=call.out.say,
    )
    text = f"{TOML_MARK}: see `hyperferry advise {one_line(advice.table)}` for the reasons.\n{advice.toml}"
    if html is not None:
        from .render.advise_page import page

        write_whole(html, page(advice))
    if out is not None:
        write_whole(out, text)
        call.out.say(f"The lines for hyperferry.toml are in {out}.")
    if as_toml and not call.out.as_json:
        call.out.raw(text.rstrip("\n"))
        return 0
    call.out.give(advice_json(advice), advice_lines(advice))
    return 0


def _ours(path: Path) -> None:
    """Raises Usage where a file is there that we did not write: somebody's own hyperferry.toml must not be lost."""
    if path.is_file() and path.stat().st_size and not path.read_text(errors="replace").startswith(TOML_MARK):
        raise Usage(
            f"{path} is there already, and `advise` did not write it.",
            remedy="name another file with --out, and take over what you want of it.",
        )
