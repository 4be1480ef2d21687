"""Parity of the two tables: verify."""

from __future__ import annotations

import click

from hyperferry.errors import Refused, Usage

from .options import Call, common, qualified, table_argument, table_of
from .render.as_json import verify_json
from .render.verify import verify_lines


@click.command(short_help="Compare the two exactly, while writers run.")
@table_argument
@click.option("--repair", is_flag=True, help="Carry the rows that differ over again, and verify once more.")
@click.option(
    "--by", metavar="COLUMN", help="Besides, compare the number of rows and a sum for each value of COLUMN."
)
@common
def verify(call: Call, table: str | None, repair: bool, by: str | None) -> int:
    """Compare the table and the hypertable exactly, every column of every row, while writers run.

    Ends with exit code 3 where they differ. Rows that differ only by changes still on their way are not
    differences; they are looked at again once those have arrived.
    """
    from hyperferry import engine

    if by is not None and not by.strip():
        raise Usage("--by names no column.", remedy="give a column, such as --by stat_type.")
    settings = call.settings(table=table)
    with call.stoppable() as stop:
        report = engine.verify(
            settings.dsn,
            table_of(settings),
            repair=repair,
            by=by,
            limits=settings.limits,
            stop=stop,
            say=call.out.say,
        )
    name = qualified(settings)
    call.out.give(verify_json(name, report), verify_lines(name, report, by=by))
    return 0 if report.match else Refused.exit_code
