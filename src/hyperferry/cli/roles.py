"""Who may do it: roles."""

from __future__ import annotations

import click

from hyperferry.errors import Refused

from .options import Call, common
from .render.roles import rights_json, rights_lines


@click.command(short_help="The least rights that a role needs, and the SQL that gives them.")
@click.argument("table", required=False, metavar="[TABLE]")
@click.option(
    "--sql", "as_sql", is_flag=True, help="Print the SQL that gives what is missing, for a DBA to read and run by psql."
)
@click.option(
    "--role",
    metavar="NAME",
    help="The role that is to run hyperferry, whether it exists or not. Without it: the one that is connected; "
    "where that is a superuser, a role named hyperferry.",
)
@common
def roles(call: Call, table: str | None, as_sql: bool, role: str | None) -> int:
    """Say which rights a role needs to run hyperferry, and which of them it has.

    With TABLE: everything that this table and what hangs on it ask for; ends with exit code 3 where something
    required is missing. Changes nothing.
    """
    from hyperferry import engine, planner

    settings = call.settings(table=table)
    report = engine.rights(settings.dsn, settings.table if table is not None else None, role=role)
    script = planner.grants_script(report)
    call.out.show(rights_lines(report), on_stderr=as_sql)
    if as_sql:
        call.out.raw(script)
    if call.out.as_json:
        call.out.give(rights_json(report, script if as_sql else None), [])
    return Refused.exit_code if table is not None and report.missing else 0
