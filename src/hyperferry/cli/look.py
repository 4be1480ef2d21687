"""Looking before anything is done: preflight, plan, status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from hyperferry.config import Settings
from hyperferry.errors import Failed, Refused, Usage
from hyperferry.model.finding import Level
from hyperferry.model.plan import Plan, Strategy
from hyperferry.model.reading import Reading
from hyperferry.words import about_to_read, plural

from .files import may_write, write_whole
from .options import Call, common, options_of, plan_options, table_argument, table_of, time_of
from .render.as_json import plan_json, preflight_json, status_json
from .render.findings import blocked, findings_lines, inspection_lines, of_strategy
from .render.plan import plan_lines, sql_header
from .render.status import status_lines
from .render.text import Line

PLAN_MARK = '"hyperferry plan"'
"""What every plan file says of itself."""


@click.command(short_help="What stands in the way, and what changes for the application.")
@table_argument
@plan_options
@common
def preflight(call: Call, table: str | None, **wishes: object) -> int:
    """Say what stands in the way of TABLE, and what will change for the application.

    Reads the catalogs, and of the rows what it needs (counts, NULLs, outliers) under locks that stop
    nobody: in an index on the time where a large table has one, else every row once. Changes nothing.
    Each finding has a level: a blocker must go before anything can start, a warning is a change that
    somebody will notice, a note is good to know. Ends with exit code 3 when something blocks.
    """
    from hyperferry import engine

    settings = call.settings(table=table, **wishes)
    name, time_column = table_of(settings), time_of(settings)
    options = options_of(settings)
    inspection, found = engine.preflight(
        settings.dsn, name, time_column, options=options, announce=announcer(call, name)
    )
    strategy = options.strategy or Strategy.BLUE_GREEN
    findings = of_strategy(found, strategy)
    call.out.give(
        preflight_json(inspection, findings, strategy=strategy),
        [*inspection_lines(inspection), *findings_lines(findings)],
    )
    return Refused.exit_code if blocked(findings) else 0


@click.command(short_help="What will be done; keep it in a file, print its SQL.")
@table_argument
@plan_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep the plan here, for `hyperferry start FILE`.",
)
@click.option(
    "--sql", "as_sql", is_flag=True, help="Print every statement in order on stdout, for a DBA to read."
)
@common
def plan(call: Call, table: str | None, out: Path | None, as_sql: bool, **wishes: object) -> int:
    """Decide what will be done with TABLE, and say it: chunks, keys, indexes, batches.

    Changes nothing. The plan carries the fingerprint of the table's schema: `start FILE` does exactly what
    the file says, and refuses it (exit code 3) when the schema has changed since.
    """
    from hyperferry import engine, planner

    settings = call.settings(table=table, **wishes)
    if out is not None:
        may_write("--out", out)
        _ours(out)
    made = make_plan(call, settings)
    description = planner.describe(made)
    statements = engine.preview(made) if as_sql else None
    if out is not None:
        write_whole(out, planner.dump_plan(made))
    call.out.show(plan_lines(description), on_stderr=as_sql)
    if statements is not None:
        call.out.raw("\n\n".join([sql_header(made), *map(str, statements)]))
    if out is not None:
        call.out.say(f"The plan is in {out}. Next: hyperferry start {out}")
    if call.out.as_json:
        call.out.give(
            plan_json(made, description, out=None if out is None else str(out), statements=statements), []
        )
    return 0


@click.command(short_help="Phase, progress, speed, backlog of every rollout.")
@click.argument("table", required=False, metavar="[TABLE]")
@common
def status(call: Call, table: str | None) -> int:
    """Say where rollouts stand: phase, progress, speed, ETA, backlog, and why one is throttled.

    Without TABLE: every rollout of this database. Can be asked from any machine at any time; the state
    lives in the database.
    """
    from hyperferry import engine

    settings = call.settings(table=table)
    wanted = None if table is None else table_of(settings)
    reports = engine.status(settings.dsn, wanted)
    if wanted is not None and not reports:
        raise Failed(
            f"There is no rollout of {wanted}.",
            facts={"table": wanted},
            remedy=f"begin one: hyperferry preflight {wanted} --time COLUMN",
        )
    rollouts = [status_json(report) for report in reports]
    lines = [line for report in reports for line in [*status_lines(report), Line("")]][:-1]
    latest = max(reports, key=lambda report: report.rollout) if wanted is not None else None
    only = {} if latest is None else status_json(latest)
    call.out.give({**only, "rollouts": rollouts}, lines or [Line("There is no rollout in this database.")])
    return 0


def make_plan(call: Call, settings: Settings) -> Plan:
    """A plan from the settings. Raises Refused with every blocker, before anything is decided."""
    from hyperferry import engine, planner

    name, time_column = table_of(settings), time_of(settings)
    options = options_of(settings)
    inspection, findings = engine.preflight(
        settings.dsn, name, time_column, options=options, announce=announcer(call, name)
    )
    blockers = [each for each in findings if each.level is Level.BLOCKER]
    if blockers:
        raise Refused(
            f"{inspection.table.name} cannot become a hypertable yet: {plural(len(blockers), 'blocker')}.",
            facts={
                f"blocker {number}": f"{each.rule}: {each.message} What to do: {each.remedy}"
                for number, each in enumerate(blockers, 1)
            },
            remedy="see to each blocker, then run the same command again; `hyperferry preflight` shows the rest.",
        )
    return planner.plan(inspection, findings, options)


def announcer(call: Call, table: str) -> Callable[[Reading], None]:
    """Says what of the table is about to be read and how long that will take, where that is long enough to wonder."""

    def announce(reading: Reading) -> None:
        text = about_to_read(table, reading.by_index, reading.seconds)
        if text is not None:
            call.out.say(text)

    return announce


def _ours(path: Path) -> None:
    """Raises Usage where a file is there that is no plan: somebody's own must not be lost."""
    if path.is_file() and path.stat().st_size and PLAN_MARK not in path.read_text(errors="replace"):
        raise Usage(
            f"{path} is there already and is no plan.",
            remedy="name another file with --out, or remove this one.",
        )
