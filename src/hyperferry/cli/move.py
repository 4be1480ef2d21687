"""Moving a table: start, sync, pause, resume, throttle, abort."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from hyperferry.config import Settings
from hyperferry.errors import ConnectionFailed, Interrupted, Refused, Usage
from hyperferry.model.plan import Plan
from hyperferry.model.report import StatusReport

from .look import PLAN_MARK, make_plan
from .options import (
    Call,
    accept_option,
    common,
    limit_options,
    limits_among,
    plan_options,
    table_argument,
    table_of,
    wishes_of,
)
from .render.as_json import status_json
from .render.progress import Progress
from .render.status import status_lines
from .stopping import FOR_ITSELF

FIXED_BY_PLAN = {
    "time_column": "--time",
    "chunk_interval": "--chunk-interval",
    "strategy": "--strategy",
    "batch_rows": "--batch-rows",
    "workers": "--workers",
    "drop_inbound_fks": "--drop-inbound-fk",
    "drop_from_publications": "--drop-from-publication",
    "compress": "--compress",
    "segment_by": "--segment-by",
    "order_by": "--order-by",
    "compress_after": "--compress-after",
}


@click.command(short_help="Prepare, copy, catch up, verify: writers go on meanwhile.")
@click.argument("target", required=False, metavar="TABLE|PLAN")
@plan_options
@click.option("--force", is_flag=True, help="in-place: convert even a table with more than --max-rows rows.")
@click.option(
    "--max-rows",
    type=click.IntRange(min=0),
    metavar="N",
    help="in-place: the most rows that it may block writers for (default 1000000).",
)
@click.option(
    "--rehearse",
    "rehearse_it",
    is_flag=True,
    help="First the whole job on an empty clone in a sandbox; nothing is started unless that passes.",
)
@accept_option
@limit_options
@common
def start(
    call: Call,
    target: str | None,
    force: bool,
    max_rows: int | None,
    rehearse_it: bool,
    accept: tuple[str, ...],
    **wishes: Any,
) -> int:
    """Prepare, copy, catch up and verify: ends with the rollout synced, and the application none the wiser.

    TABLE with --time makes a plan and does it. PLAN is a file from `plan --out`: exactly that is done, and
    refused (exit code 3) when the table's schema has changed since. A rollout that was interrupted goes on
    from where it stood: run the same command again (--time is not needed then). Ctrl-C at any moment keeps
    the work.

    What changes for the application is asked for by the cutover; in-place has none, so it is asked for here (--accept).
    """
    from hyperferry import engine

    limits = limits_among(wishes)
    plan = None if target is None else plan_in(call, target)
    if plan is not None:
        given = [flag for name, flag in FIXED_BY_PLAN.items() if wishes.get(name) not in (None, ())]
        if given:
            raise Usage(
                f"The plan in {target} decides what is done; options cannot change it.",
                facts={"options": ", ".join(given)},
                remedy="leave them out, or make another plan with `hyperferry plan`.",
            )
        settings = call.settings(table=str(plan.table), max_rows=max_rows, accept=accept)
    else:
        settings = call.settings(table=target, max_rows=max_rows, accept=accept, **wishes)
    table = str(plan.table) if plan is not None else table_of(settings)
    if plan is None and not _unfinished(settings, table):
        plan = make_plan(call, settings)
    elif plan is None:
        call.out.say(f"Going on with the rollout of {table}, as it was planned.")
    if plan is not None and rehearse_it:
        from .rehearse import rehearse_first

        with call.stoppable(FOR_ITSELF) as stop:
            rehearse_first(call, settings, plan, stop)
    with call.stoppable() as stop, Progress(call.out.stderr) as progress:
        report = engine.start(
            settings.dsn,
            table,
            plan,
            force=force,
            max_rows=settings.max_rows,
            accept=settings.accepted,
            limits=settings.limits,
            set_limits=wishes_of(limits),
            stop=stop,
            progress=progress,
            say=call.out.say,
        )
        interrupted = stop.is_set() and not report.phase.hypertable_serves and report.phase != "synced"
    return _give(call, report, interrupted)


@click.command(short_help="Keep applying changes, until interrupted.")
@table_argument
@click.option("--until-empty", is_flag=True, help="End as soon as the backlog is empty.")
@limit_options
@common
def sync(call: Call, table: str | None, until_empty: bool, **limits: Any) -> int:
    """Keep applying changes until interrupted.

    Before the cutover: from the table to the hypertable. After it: back to the old table, so that a
    rollback loses nothing and is quick. Nothing is lost while no sync runs: changes wait in the change log.
    Ctrl-C or SIGTERM ends it (exit code 4).
    """
    from hyperferry import engine

    given = limits_among(limits)
    settings = call.settings(table=table)
    with call.stoppable() as stop, Progress(call.out.stderr) as progress:
        report = engine.sync(
            settings.dsn,
            table_of(settings),
            limits=settings.limits,
            set_limits=wishes_of(given),
            stop=stop,
            progress=progress,
            say=call.out.say,
            until_empty=until_empty,
        )
        interrupted = stop.is_set()
    code = _give(call, report, interrupted)
    return Refused.exit_code if code == 0 and report.quarantined_count else code


@click.command(short_help="Have a rollout wait, from any other terminal.")
@table_argument
@common
def pause(call: Call, table: str | None) -> int:
    """Have whoever works on TABLE's rollout stop at the next batch, from any other terminal or machine.

    Changes are still captured; they wait. `hyperferry resume TABLE` lets it go on.
    """
    from hyperferry import engine

    settings = call.settings(table=table)
    return _give(call, engine.pause(settings.dsn, table_of(settings)), False)


@click.command(short_help="Let a paused rollout go on.")
@table_argument
@common
def resume(call: Call, table: str | None) -> int:
    """Let a paused rollout go on.

    A `start` or `sync` that still runs goes on by itself; where none does, run it again.
    """
    from hyperferry import engine

    settings = call.settings(table=table)
    return _give(call, engine.resume(settings.dsn, table_of(settings)), False)


@click.command(short_help="Change what the copy is held to, while it runs.")
@table_argument
@limit_options
@common
def throttle(call: Call, table: str | None, **limits: Any) -> int:
    """Change what the copy of TABLE is held to, from any other terminal or machine, while it runs or before.

    Without options: shows the limits, and what holds the copy back now. 'default' for a limit: as the
    configuration of whoever works on it has it. What is set here is kept in the ledger.
    """
    from hyperferry import engine

    given = limits_among(limits)
    settings = call.settings(table=table)
    return _give(call, engine.throttle(settings.dsn, table_of(settings), wishes_of(given)), False)


@click.command(short_help="Give up before the cutover: leave nothing behind.")
@table_argument
@common
def abort(call: Call, table: str | None) -> int:
    """Give a rollout up before the cutover (or after a rollback), and leave nothing behind.

    Drops the hypertable that was being built, the triggers and the change log. The table is as it was found.
    """
    from hyperferry import engine

    settings = call.settings(table=table)
    return _give(call, engine.abort(settings.dsn, table_of(settings), say=call.out.say), False)


def plan_in(call: Call, target: str) -> Plan | None:
    """The plan in the file of this name; None where it names a table, also one that is called like a file (`app.json`) where
    there is no such file. Raises Usage for an unreadable one."""
    from hyperferry.planner import load_plan

    path = Path(target)
    looks_like_file = target.endswith(".json") or os.sep in target
    try:
        text = path.read_text(encoding="utf-8") if looks_like_file or path.is_file() else ""
    except (FileNotFoundError, NotADirectoryError):
        if _is_a_table(call, target):
            return None
        raise Usage(
            f"There is no plan file {target}.",
            remedy="make one with `hyperferry plan TABLE --time COLUMN --out FILE`.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        if not looks_like_file:
            return None
        raise Usage(
            f"The plan file {target} cannot be read.",
            facts={"reason": getattr(error, "strerror", None) or error},
            remedy="make another with `hyperferry plan TABLE --time COLUMN --out FILE`.",
        ) from None
    return load_plan(text) if looks_like_file or PLAN_MARK in text else None


def _is_a_table(call: Call, name: str) -> bool:
    """Whether the database has a table of that name; no where it cannot be asked."""
    from hyperferry import engine

    try:
        return engine.tables_of(call.settings().dsn, name) != (None,)
    except ConnectionFailed:
        return False


def _unfinished(settings: Settings, table: str) -> bool:
    from hyperferry import engine

    reports: list[StatusReport] = engine.status(settings.dsn, table)
    return any(not report.phase.ended for report in reports)


def _give(call: Call, report: StatusReport, interrupted: bool) -> int:
    value = status_json(report)
    if interrupted:
        value["interrupted"] = True
    call.out.give(value, status_lines(report))
    return Interrupted.exit_code if interrupted else 0
