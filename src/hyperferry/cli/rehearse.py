"""The whole job on an empty clone: rehearse, and what `start --rehearse` does first."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import click

from hyperferry.config import Settings
from hyperferry.errors import Refused, Usage
from hyperferry.model.plan import Plan

from .move import FIXED_BY_PLAN, plan_in
from .options import Call, accept_option, common, options_of, plan_options, table_of, time_of
from .stopping import FOR_ITSELF

if TYPE_CHECKING:
    from hyperferry.rehearsal import RehearsalOptions, RehearsalReport

CHUNKS = 200


@click.command(short_help="The whole job on an empty clone, before anything real is touched.")
@click.argument("target", required=False, metavar="TABLE|PLAN")
@plan_options
@accept_option
@click.option(
    "--in",
    "given",
    metavar="DSN",
    help="Rehearse on this server, in a database made for it and dropped at the end, instead of in a sandbox. "
    "No other database there is touched.",
)
@click.option(
    "--release",
    type=click.Choice(["stable", "testing"]),
    help="The sandbox's packages: stable has PostgreSQL 17, testing has 18. Without it: the nearest to the real server.",
)
@click.option(
    "--server", metavar="NAME", help="The sandbox's installation, by its name in your servers.toml."
)
@click.option(
    "--chunks",
    type=click.IntRange(min=1),
    default=CHUNKS,
    show_default=True,
    metavar="N",
    help="The most chunks that are made in the rehearsal.",
)
@click.option(
    "--no-scan", is_flag=True, help="Do not read the rows of TABLE for the preflight: its catalogs alone."
)
@common
def rehearse(
    call: Call,
    target: str | None,
    accept: tuple[str, ...],
    given: str | None,
    release: str | None,
    server: str | None,
    chunks: int,
    no_scan: bool,
    **wishes: str | int | tuple[str, ...] | None,
) -> int:
    """Run the whole job on an empty clone of TABLE and all that hangs on it, and say what would fail.

    The definitions of the whole database (views, functions, types, triggers, keys, roles, grants, extensions,
    settings) are made again in a sandbox, or with --in in a database made for it; no row is taken along. There the job
    runs from the plan to the finish, abort and rollback included; made-up rows are written and every view is read before and
    after each swap. The real server is only read. Ends with exit code 3 when something would fail, 1 when the rehearsal
    itself could not be run.
    """
    from hyperferry.rehearsal import RehearsalOptions

    if given is not None and (release is not None or server is not None):
        raise Usage("--in names a server, and --release or --server a sandbox.", remedy="give one of them.")
    if release is not None and server is not None:
        raise Usage("--release and --server name two sandboxes.", remedy="give one of them.")
    plan = None if target is None else plan_in(call, target)
    if plan is not None:
        fixed = [flag for name, flag in FIXED_BY_PLAN.items() if wishes.get(name) not in (None, ())]
        if fixed:
            raise Usage(
                f"The plan in {target} decides what is rehearsed; options cannot change it.",
                facts={"options": ", ".join(fixed)},
                remedy="leave them out, or make another plan with `hyperferry plan`.",
            )
        settings = call.settings(accept=accept)
    else:
        settings = call.settings(table=target, accept=accept, **wishes)
    with call.stoppable(FOR_ITSELF) as stop:
        report = _run(
            call,
            RehearsalOptions(
                dsn=settings.dsn,
                table=str(plan.table) if plan is not None else table_of(settings),
                time_column=plan.time_column if plan is not None else time_of(settings),
                plan_options=options_of(settings),
                plan=plan,
                accept=settings.accepted,
                given=given,
                release=release,
                server=server,
                chunks=chunks,
                scan=not no_scan,
            ),
            stop,
        )
    from .render.rehearsal import rehearsal_lines

    call.out.give(report.as_json(), rehearsal_lines(report))
    return 0 if report.passed else Refused.exit_code


def rehearse_first(call: Call, settings: Settings, plan: Plan, stop: threading.Event) -> None:
    """The rehearsal of `start --rehearse`. Raises Refused where something would fail; nothing was touched then."""
    from hyperferry.rehearsal import RehearsalOptions, Status

    report = _run(
        call,
        RehearsalOptions(
            settings.dsn, str(plan.table), plan.time_column, plan=plan, accept=settings.accepted
        ),
        stop,
    )
    from .render.rehearsal import rehearsal_lines

    call.out.show(rehearsal_lines(report), on_stderr=True)
    if not report.passed:
        raise Refused(
            f"The rehearsal of {plan.table} did not pass, so nothing was started.",
            facts={
                step.name: " ".join([f"{step.status}: {step.message}", *step.details[:3]])
                for step in report.wrong
                if step.status is not Status.SKIPPED
            },
            remedy="see to what would fail, then run the same command again; `hyperferry rehearse` alone shows all of it.",
        )


def _run(call: Call, options: RehearsalOptions, stop: threading.Event) -> RehearsalReport:
    from hyperferry.rehearsal import rehearse as run

    return run(options, say=call.out.say, stop=stop)
