"""What has to do with Alembic: alembic init."""

from __future__ import annotations

from pathlib import Path

import click

from hyperferry.errors import Failed, Usage

from .look import make_plan
from .options import Call, common, table_argument


@click.group("alembic", short_help="Hypertables in Alembic: the first revision.")
def alembic_group() -> None:
    """Hypertables in Alembic. The operations for revisions are described in docs/alembic.md."""


@alembic_group.command("init", short_help="Write the first revision about a hypertable, from a plan.")
@table_argument
@click.option("--time", "time_column", metavar="COLUMN", help="The column that the hypertable is cut by.")
@click.option("--chunk-interval", metavar="WIDTH", help="The width of a chunk, as `plan` takes it.")
@click.option(
    "--alembic-config",
    type=click.Path(path_type=Path),
    default=Path("alembic.ini"),
    show_default=True,
    metavar="FILE",
    help="The project's alembic.ini.",
)
@click.option(
    "--policies",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A hyperferry.toml whose indexes, policies and aggregates the revision is to bring about as well.",
)
@click.option("-m", "--message", metavar="TEXT", help="What the revision is called.")
@common
def alembic_init(
    call: Call,
    table: str | None,
    time_column: str | None,
    chunk_interval: str | None,
    alembic_config: Path,
    policies: Path | None,
    message: str | None,
) -> int:
    """Write a revision that follows the project's head: it waits for the online rollout of TABLE where that is large, and makes a
    small one (a developer's, CI's) a hypertable in place. Changes nothing in the database.
    """
    try:
        from hyperferry.alembic import first
    except ModuleNotFoundError as error:
        if error.name not in ("alembic", "sqlalchemy"):
            raise
        raise Failed("Alembic is not installed here.", remedy="pip install 'hyperferry[alembic]'") from None

    if policies is not None and not policies.is_file():
        raise Usage(
            f"There is no {policies}.", remedy="name a hyperferry.toml with --policies, or leave it out."
        )
    plan = make_plan(call, call.settings(table=table, time_column=time_column, chunk_interval=chunk_interval))
    path = first.write(plan, alembic_config, message=message, policies=policies)
    call.out.give(
        {"table": str(plan.table), "revision": str(path)},
        [f"{path} written. Read it, then: alembic upgrade head"],
    )
    return 0
