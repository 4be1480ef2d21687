"""`hyperferry sandbox`: a disposable local PostgreSQL with TimescaleDB."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from hyperferry import sandbox
from hyperferry.sandbox import Sandbox

__all__ = ["group", "sandbox_group"]

name_option = click.option(
    "--name",
    default=sandbox.DEFAULT_NAME,
    show_default=True,
    help="Which sandbox; several can run at once.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


@click.group("sandbox")
def group() -> None:
    """A disposable local PostgreSQL with TimescaleDB.

    It needs neither Docker nor root, outlives this command, and trusts every local connection.
    """


@group.command("up")
@name_option
@click.option(
    "--release",
    type=click.Choice(["stable", "testing"]),
    help="Use Debian's packages: stable has PostgreSQL 17, testing has 18.",
)
@click.option(
    "--pg-config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Use the PostgreSQL that this pg_config belongs to.",
)
@click.option("--server", help="Use the installation of this name in your servers.toml.")
@click.option("--fast", is_flag=True, help="Without fsync: quicker, and lost in a power cut.")
@json_option
def up_command(
    name: str, release: str | None, pg_config: Path | None, server: str | None, fast: bool, as_json: bool
) -> None:
    """Start a sandbox, or answer with the one that runs."""
    made = sandbox.up(name, release=release, pg_config=pg_config, server=server, fast=fast, say=_say)
    if as_json:
        click.echo(json.dumps(_as_dict(made)))
        return
    _say(
        f"Sandbox {made.name}: PostgreSQL {made.postgres_version}, TimescaleDB {made.timescaledb_version} "
        f"({made.edition}), data in {made.data_dir}"
    )
    click.echo(made.dsn)


@group.command("down")
@name_option
@click.option("--all", "all_of_them", is_flag=True, help="Every sandbox of this user.")
@json_option
def down_command(name: str, all_of_them: bool, as_json: bool) -> None:
    """Stop a sandbox and delete its data."""
    names = [each.name for each in sandbox.status()] if all_of_them else [name]
    removed = [each for each in names if sandbox.down(each, say=_say)]
    if as_json:
        click.echo(json.dumps({"removed": removed}))
    elif removed:
        _say(f"Removed: {', '.join(removed)}.")
    else:
        _say("There is no sandbox to remove." if all_of_them else f"There is no sandbox {name!r}.")


@group.command("status")
@json_option
def status_command(as_json: bool) -> None:
    """List all sandboxes."""
    found = sandbox.status()
    if as_json:
        listed = [{"name": each.name, "state": each.state, **_as_dict(each)} for each in found]
        click.echo(json.dumps({"sandboxes": listed}))
        return
    if not found:
        _say("There is no sandbox. Make one: hyperferry sandbox up")
    for each in found:
        click.echo(
            f"{each.name:<16} {each.state:<8} PostgreSQL {each.postgres_version}, "
            f"TimescaleDB {each.timescaledb_version} ({each.edition})  {each.dsn}"
        )


@group.command("psql", context_settings={"ignore_unknown_options": True})
@name_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql_command(name: str, arguments: tuple[str, ...]) -> None:
    """Open the sandbox's own psql; further ARGUMENTS are psql's."""
    running = sandbox.get(name)
    program = running.program("psql")
    os.execv(program, [str(program), "--dbname", running.dsn, *arguments])


def _as_dict(made: Sandbox) -> dict[str, Any]:
    return {
        "dsn": made.dsn,
        "postgres_version": made.postgres_version,
        "timescaledb_version": made.timescaledb_version,
        "edition": made.edition,
        "data_dir": str(made.data_dir),
    }


def _say(line: str) -> None:
    click.echo(line, err=True)


sandbox_group = group
