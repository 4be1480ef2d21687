"""Swapping the tables, swapping back, and ending it: cutover, rollback, finish."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from hyperferry.config import same_table
from hyperferry.errors import NotSettled, Refused, Usage
from hyperferry.model.report import SwapReport
from hyperferry.times import parse_moment

from .options import (
    Call,
    accept_option,
    attempts_option,
    common,
    given_up_options,
    max_wait_option,
    pgbouncer_option,
    qualified,
    table_argument,
    table_of,
)
from .render.as_json import preview_json, status_json, swap_json
from .render.progress import Progress
from .render.status import status_lines
from .render.swap import preview_lines, swap_lines

if TYPE_CHECKING:
    from hyperferry.waiting import Appointment


@click.command(short_help="Put the hypertable in the table's place.")
@table_argument
@accept_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show what would be swapped, who is in the way now, and what speaks against it.",
)
@attempts_option
@max_wait_option
@pgbouncer_option
@click.option(
    "--at",
    metavar="TIME",
    help="Wait in sync, and cut over at this time: '2026-03-01T03:00+01:00', '2026-03-01 03:00 Europe/Berlin', "
    "or HH:MM for the next time that this machine's clock shows it.",
)
@click.option(
    "--postpone",
    is_flag=True,
    help="Wait in sync until `hyperferry cutover TABLE --now` comes from another terminal or machine.",
)
@click.option(
    "--now", "go", is_flag=True, help="Let a cutover go that waits (--postpone, --at), and return at once."
)
@given_up_options
@common
def cutover(
    call: Call,
    table: str | None,
    accept: tuple[str, ...],
    dry_run: bool,
    attempts: int,
    max_wait: float | None,
    pgbouncer: tuple[str, ...],
    at: str | None,
    postpone: bool,
    go: bool,
    drop_inbound_fks: tuple[str, ...],
    drop_from_publications: tuple[str, ...],
) -> int:
    """Put the hypertable in the table's place, in one short transaction.

    Needs a clean verification, and each change for the application accepted by name (`preflight` lists
    them). Writers wait for as long as the swap takes, milliseconds as a rule, and go on through the same
    name; they see no error. What cannot have its locks at once gives way and tries again. Writes made
    afterwards are carried back to the old table until `finish`. --drop-inbound-fk and --drop-from-publication
    say again what the plan says; other names are refused.

    With --at or --postpone it waits first, and keeps applying changes; `pause`, `resume` and Ctrl-C are
    obeyed, `status` shows what it waits for.
    """
    from hyperferry import engine

    _one_of({"--dry-run": dry_run, "--now": go, "--at": at is not None, "--postpone": postpone})
    appointment = _appointment(at, postpone)
    settings = call.settings(
        table=table,
        accept=accept,
        pgbouncer=pgbouncer,
        drop_inbound_fks=drop_inbound_fks,
        drop_from_publications=drop_from_publications,
    )
    name = table_of(settings)
    if go:
        status = engine.cutover_now(settings.dsn, name)
        call.out.give(status_json(status), status_lines(status))
        return 0
    if dry_run:
        preview = engine.cutover_dry_run(
            settings.dsn,
            name,
            accept=settings.accepted,
            drop_inbound_fks=settings.drop_inbound_fks,
            drop_from_publications=settings.drop_from_publications,
        )
        name = qualified(settings)
        parts = (preview.statements, preview.blockers, preview.refusals)
        call.out.give(preview_json(name, *parts), preview_lines(name, *parts))
        return Refused.exit_code if preview.refusals else 0
    try:
        with call.stoppable() as stop, Progress(call.out.stderr) as progress:
            report = engine.cutover(
                settings.dsn,
                name,
                accept=settings.accepted,
                attempts=attempts,
                max_wait=max_wait,
                pgbouncer=settings.pgbouncer,
                appointment=appointment,
                drop_inbound_fks=settings.drop_inbound_fks,
                drop_from_publications=settings.drop_from_publications,
                limits=settings.limits,
                stop=stop,
                progress=progress,
                say=call.out.say,
            )
    except NotSettled as error:
        return _swapped(call, error.report, error)
    return _swapped(call, report)


def _swapped(call: Call, report: SwapReport, error: NotSettled | None = None) -> int:
    """Prints the report of a swap, and of what came after it what went wrong; gives the exit code."""
    value, lines = swap_json(report.table, report), swap_lines(report.table, report)
    if error is None:
        call.out.give(value, lines)
        return 0
    call.out.show(lines)
    call.out.fail(error, value)
    return error.exit_code


def _one_of(given: dict[str, bool]) -> None:
    """Raises Usage where options that exclude each other were given."""
    found = [name for name, there in given.items() if there]
    if len(found) > 1:
        raise Usage(f"{' and '.join(found)} do not go together.", remedy="give one of them.")


def _appointment(at: str | None, postpone: bool) -> Appointment | None:
    from hyperferry.waiting import Appointment

    if at is not None:
        return Appointment(parse_moment(at, datetime.now(UTC)))
    return Appointment(None) if postpone else None


@click.command(short_help="Put the old table back, with every write made since.")
@table_argument
@click.option(
    "--unverified",
    is_flag=True,
    help="Swap back even without a clean verification: the old table may lack rows.",
)
@click.option(
    "--accept",
    multiple=True,
    type=click.Choice(["dropped-ranges", "snapshot-transactions"]),
    help="`dropped-ranges`: have rows come back that drop_chunks or retention removed from the hypertable since the cutover. "
    "`snapshot-transactions`: wait for no session with a snapshot from before; one may miss the last changes. Several times.",
)
@attempts_option
@max_wait_option
@pgbouncer_option
@common
def rollback(
    call: Call,
    table: str | None,
    unverified: bool,
    accept: tuple[str, ...],
    attempts: int,
    max_wait: float | None,
    pgbouncer: tuple[str, ...],
) -> int:
    """Put the old table back in its place, with every write made since the cutover.

    As short as the cutover. A cutover is possible again afterwards; so is `abort`.
    """
    from hyperferry import engine

    settings = call.settings(table=table, pgbouncer=pgbouncer)
    name = table_of(settings)
    try:
        with call.stoppable() as stop:
            report = engine.rollback(
                settings.dsn,
                name,
                unverified=unverified,
                accept=frozenset(accept),
                attempts=attempts,
                max_wait=max_wait,
                limits=settings.limits,
                pgbouncer=settings.pgbouncer,
                stop=stop,
                say=call.out.say,
            )
    except NotSettled as error:
        return _swapped(call, error.report, error)
    return _swapped(call, report)


@click.command(short_help="Drop the old table for good, and keep the record.")
@table_argument
@click.option("--confirm", metavar="TABLE", help="The table's name again: this cannot be undone.")
@common
def finish(call: Call, table: str | None, confirm: str | None) -> int:
    """Drop the old table and the capture, and keep the record. There is no way back from here.

    Asks for --confirm TABLE, since the old table is gone for good.
    """
    from hyperferry import engine

    settings = call.settings(table=table)
    name = table_of(settings)
    facts = {"table": name, "confirmed": confirm or "nothing"}
    confirmed = confirm is not None and same_table(confirm, name)
    if confirm is not None and confirmed is None:  # the database alone knows in which schema the other one is
        meant = engine.tables_of(settings.dsn, name, confirm)
        confirmed = meant[0] is not None and meant[0] == meant[1]
        facts["they mean"] = ", ".join("no table" if each is None else str(each) for each in meant)
    if not confirmed:
        raise Refused(
            f"Finishing {name} drops the old table for good, and was not confirmed.",
            facts=facts,
            remedy=f"when you are sure: hyperferry finish {name} --confirm {name}",
        )
    report = engine.finish(settings.dsn, name, say=call.out.say)
    call.out.give(status_json(report), status_lines(report))
    return 0
