"""Who may read a rollout's other side: reads."""

from __future__ import annotations

import click

from .options import Call, common, table_argument, table_of


@click.command(short_help="Let an application's role read the other side of a rollout.")
@table_argument
@click.option("--role", required=True, metavar="NAME", help="The role that the application connects as.")
@common
def reads(call: Call, table: str | None, role: str) -> int:
    """Let an application that uses hyperferry.sqlalchemy read the other side while a rollout runs.

    The role gets USAGE on the two schemas in which the table takes its turns, and may ask where the rollout stands. Run it once
    for each rollout and role, any time after `start` has begun. It goes with the rollout.
    """
    from hyperferry.flag.reads import allow

    settings = call.settings(table=table)
    done = allow(settings.dsn, table_of(settings), role)
    call.out.give(
        {
            "table": str(done.table),
            "role": done.role,
            "rollout": done.rollout,
            "phase": done.phase,
            "schemas": list(done.schemas),
        },
        [f"{done.role} may read both sides of {done.table} (rollout {done.rollout}, {done.phase})."],
    )
    return 0
