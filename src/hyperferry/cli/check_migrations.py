"""A project's migrations, run and looked at: check-migrations."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from hyperferry.config import load_settings
from hyperferry.db.connection import password_in
from hyperferry.errors import Refused, Usage
from hyperferry.model.names import name_parts

from .files import may_write, read_text
from .options import PASSWORD_NOTE, Call, common
from .stopping import FOR_ITSELF


@click.command(
    "check-migrations", short_help="Run a project's Alembic migrations up, down and up again, and judge them."
)
@click.option(
    "--alembic-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The project's alembic.ini. Without it: the one in this folder.",
)
@click.option(
    "--release",
    type=click.Choice(["stable", "testing"]),
    help="The sandbox's packages: stable has PostgreSQL 17, testing has 18.",
)
@click.option(
    "--server", metavar="NAME", help="The sandbox's installation, by its name in your servers.toml."
)
@click.option(
    "--large",
    multiple=True,
    metavar="TABLE",
    help="A table that is large in production. Several times for several; '*' for each whose rows are not known.",
)
@click.option(
    "--rows",
    multiple=True,
    metavar="TABLE=N",
    help="How many rows a table has in production. Several times for several.",
)
@click.option(
    "--sizes-from",
    metavar="DSN",
    help="Read from this database's statistics, and nothing else of it, how many rows the tables have.",
)
@click.option(
    "--large-rows",
    type=click.IntRange(min=1),
    metavar="N",
    help="Rows from which on a table is large (100,000).",
)
@click.option(
    "--since", metavar="REVISION", help="Judge the revisions after this one; those up to it are run once, up."
)
@click.option(
    "--accept",
    multiple=True,
    metavar="RULE",
    help="Let this rule not fail the check. For one revision: a comment in it, `# hyperferry: accept RULE`.",
)
@click.option(
    "--no-offline", is_flag=True, help="Do not write and run the scripts of `alembic upgrade --sql`."
)
@click.option(
    "--no-extension",
    is_flag=True,
    help="Make the databases without the extension timescaledb, which the project creates itself.",
)
@click.option(
    "--pin", type=click.Path(path_type=Path), metavar="FILE", help="Write the SQL that the revisions come to."
)
@click.option(
    "--expect",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Compare that SQL with what --pin wrote.",
)
@click.option(
    "--python", metavar="PROGRAM", help="The Python that the project runs by. Without it: hyperferry's own."
)
@click.option(
    "--env",
    multiple=True,
    metavar="NAME=TEXT",
    help="Set for env.py; {url}, {host}, {port}, {user}, {password}, {dbname} stand for the database of this check.",
)
@click.option(
    "-x",
    "given_x",
    multiple=True,
    metavar="NAME=TEXT",
    help="Given to env.py as Alembic's own -x, with the same words.",
)
@click.option(
    "--driver",
    metavar="NAME",
    help="The SQLAlchemy driver in the address (psycopg, asyncpg, ...). Without it: the one in alembic.ini or DATABASE_URL.",
)
@click.option(
    "--github", is_flag=True, help="Print annotations for GitHub, as is done where GITHUB_ACTIONS=true."
)
@common
def check_migrations(call: Call, **given: Any) -> int:
    """Run the project's Alembic revisions on an empty database of their own: up, down, up again, and as scripts, and look on the
    server which locks each statement takes of tables that were there before.

    It uses a sandbox, or makes two databases on the server of --dsn, and touches no other: DATABASE_URL is not read.
    Ends with exit code 3 where something was found that is not accepted.
    """
    from hyperferry.migrations import RULES, CheckOptions, check, rows_of, sizes_of
    from hyperferry.migrations.section import wishes_of

    from .render.check_migrations import check_lines, github_lines

    # Without a word with any database, as is promised: which table the file is about does not matter here.
    settings = load_settings({"dsn": call.dsn}, config=call.config, by_file=True)
    file = wishes_of(settings.check_migrations, str(call.config or "hyperferry.toml"))
    _one_server(call.dsn, given["release"], given["server"])
    pin, expect, offline = (
        given["pin"],
        given["expect"] or file.expect,
        file.offline and not given["no_offline"],
    )
    if not offline and (pin or expect):
        raise Usage(
            "What --pin and --expect keep are scripts, and scripts are left out (--no-offline).",
            remedy="leave one of them out.",
        )
    if pin is not None:
        may_write("--pin", pin)
        expect = None
    write_first = f"write it first: hyperferry check-migrations --pin {expect}"
    expected = None if expect is None else read_text(expect, remedy=write_first)
    accept = frozenset((*file.accept, *given["accept"]))
    if unknown := sorted(accept - {*RULES}):
        raise Usage(
            f"{unknown[0]} is no rule.", facts={"rules": ", ".join(RULES)}, remedy="name one of these."
        )
    if given["sizes_from"] is not None and password_in(given["sizes_from"]):
        call.out.say(PASSWORD_NOTE.replace("--dsn", "--sizes-from"))
    table = () if settings.table is None else (settings.table,)
    options = CheckOptions(
        ini=given["alembic_config"] or file.alembic_config or Path("alembic.ini"),
        python=given["python"] or file.python or sys.executable,
        dsn=call.dsn,
        release=given["release"],
        server=given["server"],
        sizes=sizes_of(
            (*table, *file.large, *given["large"]),
            (*file.rows, *map(rows_of, given["rows"])),
            limit=given["large_rows"] or file.large_rows,
        ),
        sizes_from=given["sizes_from"],
        hypertables=frozenset(map(name_parts, table)),
        x=given["given_x"],
        env=(*file.env, *given["env"]),
        driver=given["driver"] or file.driver,
        since=given["since"],
        offline=offline,
        extension=file.extension and not given["no_extension"],
        accept=accept,
        pin=pin,
        expect=expect,
        expected=expected,
    )
    with call.stoppable(FOR_ITSELF) as stop:
        report = check(options, say=call.out.say, stop=stop)
    if given["github"] or os.environ.get("GITHUB_ACTIONS") == "true":
        lines = github_lines(report, Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()))
        for line in lines:
            print(line, file=sys.stderr if call.out.as_json else sys.stdout, flush=True)
    call.out.give(report.as_json(), check_lines(report))
    return 0 if report.passed else Refused.exit_code


def _one_server(dsn: str | None, release: str | None, server: str | None) -> None:
    if dsn is not None and (release is not None or server is not None):
        raise Usage("--dsn names a server, and --release or --server a sandbox.", remedy="give one of them.")
    if release is not None and server is not None:
        raise Usage("--release and --server name two sandboxes.", remedy="give one of them.")
