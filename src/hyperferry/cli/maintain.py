"""A hypertable kept well: maintain."""

from __future__ import annotations

import click

from hyperferry.errors import Failed, Interrupted, Refused, Usage
from hyperferry.model.throttle import limits_of
from hyperferry.times import parse_wait

from .options import Call, common, table_argument, table_of
from .stopping import Words

MAINTAINING = Words(
    (
        "Stopping: the statement that runs is cancelled; what was done stays done.",
        "Still cancelling, and taking away what a rebuild left. Once more, and it is left to the next run.",
    ),
    "Left in the middle of a statement.",
    "run the same command again: it goes on, and takes away what this one left.",
)
KINDS = ("vacuum", "analyze", "reindex")


def _kinds(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    kinds = tuple(kind.strip().lower() for each in value for kind in each.split(",") if kind.strip())
    for kind in kinds:
        if kind not in KINDS:
            raise click.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}.")
    return kinds


@click.command(short_help="VACUUM, ANALYZE, REINDEX CONCURRENTLY chunk by chunk; drop old chunks.")
@table_argument
@click.option(
    "--only",
    multiple=True,
    callback=_kinds,
    metavar="KINDS",
    help="Only these: vacuum, analyze, reindex. Several times, or with commas between. Without it: all.",
)
@click.option(
    "--all", "everything", is_flag=True, help="Each chunk, not only those that `health` finds in need; longest undone first."
)
@click.option("--older-than", metavar="WHEN", help="Only chunks that end before: an age ('30 days'), or a moment.")
@click.option("--newer-than", metavar="WHEN", help="Only chunks that begin after: an age ('30 days'), or a moment.")
@click.option(
    "--window",
    metavar="HH:MM-HH:MM",
    help="Work only at this time of day, of this machine's clock ('02:00-05:00', '22:00-04:00 Europe/Berlin'): waits for it "
    "to begin, and ends with it (exit code 4).",
)
@click.option(
    "--pause", default="500 ms", show_default=True, metavar="DURATION", help="Rest so long between two statements."
)
@click.option("--full-speed", is_flag=True, help="VACUUM and ANALYZE without autovacuum's pauses for the disk.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and why, and do nothing.")
@click.option(
    "--drop-older-than",
    metavar="WHEN",
    help="Instead: list the chunks that end before (an age such as '2 years', or a moment), and with --confirm drop them.",
)
@click.option("--confirm", metavar="TABLE", help="With --drop-older-than: the table's name once more; the chunks are dropped.")
@click.option(
    "--accept",
    multiple=True,
    type=click.Choice(["aggregate-rows", "waiting-rows", "all"]),
    help="With --drop-older-than: accept that continuous aggregates lose the buckets of what is dropped (aggregate-rows), or "
    "never see rows that wait for a refresh (waiting-rows). Several times for several.",
)
@common
def maintain(
    call: Call,
    table: str | None,
    only: tuple[str, ...],
    everything: bool,
    older_than: str | None,
    newer_than: str | None,
    window: str | None,
    pause: str,
    full_speed: bool,
    dry_run: bool,
    drop_older_than: str | None,
    confirm: str | None,
    accept: tuple[str, ...],
) -> int:
    """Do what `hyperferry health` finds that the chunks of TABLE need, one after the other, while writers and readers go on.

    TimescaleDB refuses REINDEX CONCURRENTLY for a hypertable, so it is done for each chunk. Each statement waits for nobody and
    gives way to whoever waits for it; what had to be passed over is told, and done by the next run.
    """
    settings = call.settings(table=table)
    if drop_older_than is not None:
        if only or everything or older_than or newer_than or window or full_speed:
            raise Usage(
                "--drop-older-than goes with --confirm, --accept and --dry-run alone.",
                remedy="drop old chunks first, then maintain the others.",
            )
        return _drop(call, settings.dsn, table_of(settings), drop_older_than, confirm, dry_run, frozenset(accept))
    if confirm is not None:
        raise Usage("--confirm goes with --drop-older-than.", remedy="leave it out.")
    if accept:
        raise Usage("--accept goes with --drop-older-than.", remedy="leave it out.")
    from hyperferry.maintenance import Kind, MaintainOptions, maintain, parse_window

    from .render.maintain import maintain_json, maintain_lines

    options = MaintainOptions(
        settings.dsn,
        table_of(settings),
        kinds=frozenset(Kind(each) for each in only),
        everything=everything,
        older_than=older_than,
        newer_than=newer_than,
        window=None if window is None else parse_window(window),
        pause=0.0 if pause.strip() in ("0", "none") else parse_wait(pause, "--pause"),
        full_speed=full_speed,
        limits=limits_of(settings.limits),
        dry_run=dry_run,
    )
    with call.stoppable(MAINTAINING) as stop:
        report = maintain(options, call.out.say, stop)
    call.out.give(maintain_json(report, dry_run), maintain_lines(report, dry_run))
    if report.ended is not None:
        return Interrupted.exit_code
    undone = any(each.state in ("skipped", "failed") for each in report.outcomes)
    return Failed.exit_code if undone else 0


def _drop(
    call: Call, dsn: str, table: str, older: str, confirm: str | None, dry_run: bool, accept: frozenset[str]
) -> int:
    from hyperferry.maintenance import DropOptions, drop_chunks, dropped_json

    from .render.maintain import dropped_lines

    with call.stoppable(MAINTAINING) as stop:
        found = drop_chunks(DropOptions(dsn, table, older, confirm, dry_run, accept), call.out.say, stop)
    call.out.give(dropped_json(found), dropped_lines(found, older, dry_run))
    if found.ended is not None:
        return Interrupted.exit_code
    if found.left:
        return Failed.exit_code
    return Refused.exit_code if found.listed and not found.confirmed and (found.losses or not dry_run) else 0
