"""Where a rehearsal happens: a sandbox made for it, or a database made for it on a server that was named."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hyperferry import sandbox
from hyperferry.config import plain_dsn
from hyperferry.db import connect, execute, fetch_all, fetch_one, fetch_value
from hyperferry.db.connection import Connection
from hyperferry.errors import Failed, HyperferryError, Refused
from hyperferry.model.inspection import ServerFacts
from hyperferry.sandbox.installation import Installation, installed

from .options import RehearsalOptions, Say
from .surroundings import Surroundings

PREFIX = "hyperferry_rehearsal_"
OF_ROLE = "made by hyperferry rehearse for the database "
"""How the comment on a role begins that was made for one run."""

SANDBOX = "rehearsal"
"""How the sandbox of a rehearsal begins its name; the process that made it follows."""

MOST_CONNECTIONS = 500
"""A sandbox takes over max_connections up to here: it need not have the memory that the real server has."""


@dataclass
class Place:
    """A database of this run. `dsn` connects its maker. `own_server` is false on a server that others use. `roles` are those that
    were made here, and go again."""

    dsn: str
    server_dsn: str
    database: str
    own_server: bool
    description: str
    postgres: int = 0
    superuser: bool = False
    roles: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_role(self, role: str) -> str:
        """The connection string for sessions that act as `role`, whether or not it may log in."""
        escaped = role.replace("\\", "\\\\").replace(" ", "\\ ")
        before = conninfo_to_dict(self.dsn).get("options")
        return make_conninfo(
            self.dsn, options=f"{before} -c role={escaped}" if before else f"-c role={escaped}"
        )


@contextmanager
def place(options: RehearsalOptions, real: ServerFacts, around: Surroundings, say: Say) -> Iterator[Place]:
    """A database for this run with the encoding of the real one, gone at its end whatever happens."""
    if options.given is not None:
        with _database(
            plain_dsn(options.given), "the server of --in", around, own_server=False, say=say
        ) as made:
            yield made
        return
    name = f"{SANDBOX}-{os.getpid()}-{secrets.token_hex(3)}"
    sweep(SANDBOX, say)
    server = _sandbox(name, options, real, around, say)
    try:
        dsn = _own_superuser(server.dsn)
        with _database(dsn, f"a sandbox of {server.origin}", around, own_server=True, say=say) as made:
            yield made
    finally:
        sandbox.down(name)


def _sandbox(
    name: str, options: RehearsalOptions, real: ServerFacts, around: Surroundings, say: Say
) -> sandbox.Sandbox:
    """The sandbox nearest to the real server that can be had."""
    settings = {key: str(value) for key, value in around.limits.items() if key != "max_worker_processes"}
    settings["max_connections"] = str(min(around.limits.get("max_connections", 100), MOST_CONNECTIONS))
    if real.edition is not None:
        settings["timescaledb.license"] = "apache" if real.edition == "apache" else "timescale"
    if options.release is not None or options.server is not None:
        return sandbox.up(
            name, release=options.release, server=options.server, fast=True, settings=settings, say=say
        )
    last: HyperferryError | None = None
    for wish in _candidates(real):
        chosen = dict(settings)
        if not isinstance(wish, Installation) or not wish.community:
            chosen.pop("timescaledb.license", None)
        try:
            if isinstance(wish, Installation):
                made = sandbox.up(name, pg_config=wish.pg_config, fast=True, settings=chosen, say=say)
                return replace(made, origin=wish.origin)
            return sandbox.up(name, release=wish, fast=True, settings=chosen, say=say)
        except HyperferryError as error:
            last = error
    assert last is not None
    raise Failed(
        "No server for the rehearsal can be had.",
        facts={"sandbox": last.message, **last.facts},
        remedy=f"name a server with --in DSN, on which a database is made for it and dropped. {last.remedy or ''}".strip(),
    )


def _candidates(real: ServerFacts) -> list[Installation | str]:
    """What can serve as a sandbox, the nearest to the real server first: its major version, then its edition, then
    TimescaleDB's version. What is there comes before what has to be fetched."""
    major, community = real.version_num // 10_000, real.edition == "community"

    def distance(wish: Installation | str) -> tuple[int, bool, bool, bool]:
        if isinstance(wish, Installation):
            lacks, other = community and not wish.community, wish.community != community
            return abs(wish.major - major), lacks, wish.timescaledb != real.timescaledb_installed, other
        return abs({"stable": 17, "testing": 18}[wish] - major), community, True, True

    wishes: list[Installation | str] = [*installed(), "stable", "testing"]
    return sorted(wishes, key=distance)


def sweep(kind: str, say: Say) -> None:
    """Removes sandboxes of this kind (`<kind>-<process>-<mark>`) whose process was killed."""
    for each in sandbox.status():
        parts = each.name.split("-")
        if parts[0] != kind or len(parts) != 3 or not parts[1].isdigit():
            continue
        try:
            os.kill(int(parts[1]), 0)
        except ProcessLookupError:
            say(f"Removing {each.name}, which a {kind} left that was killed.")
            sandbox.down(each.name)
        except PermissionError:
            continue


def _own_superuser(dsn: str) -> str:
    """Connects as a superuser of the rehearsal's own, and frees the name `postgres`: the real server's role of that name may
    be no superuser."""
    mark = secrets.token_hex(4)
    with connect(dsn, purpose="rehearse") as conn:
        execute(conn, sql.SQL("CREATE ROLE {} LOGIN SUPERUSER").format(sql.Identifier(PREFIX + mark)))
    own = make_conninfo(dsn, user=PREFIX + mark)
    with connect(own, purpose="rehearse") as conn:
        execute(
            conn,
            sql.SQL("ALTER ROLE postgres RENAME TO {}").format(sql.Identifier(f"hyperferry_sandbox_{mark}")),
        )
    return own


@contextmanager
def _database(
    dsn: str, description: str, around: Surroundings, *, own_server: bool, say: Say
) -> Iterator[Place]:
    database = f"{PREFIX}{os.getpid()}_{secrets.token_hex(4)}"
    made = Place(make_conninfo(dsn, dbname=database), dsn, database, own_server, description)
    with connect(dsn, purpose="rehearse") as conn:
        made.postgres = conn.info.server_version
        made.superuser = bool(
            fetch_value(conn, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")
        )
        require_rights(conn, "--in", "a rehearsal makes a database of its own there, and touches no other")
        if not own_server:
            made.warnings += _leftovers(conn)
        _create(conn, made, around)
    try:
        yield made
    finally:
        _remove(made, say)


def require_rights(conn: Connection, option: str, why: str) -> None:
    """Raises Refused where the role may not create databases on the server that the option names."""
    row = fetch_one(
        conn,
        "SELECT rolname::text, rolsuper OR rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user",
    )
    if row is not None and not row[1]:
        raise Refused(
            f"The role {row[0]} may not create databases on the server of {option}.",
            facts={"why": why},
            remedy=f"as a superuser there: ALTER ROLE {sql.Identifier(row[0]).as_string(conn)} CREATEDB; "
            f"or leave {option} out, and a sandbox is used.",
        )


def _leftovers(conn: Connection) -> list[str]:
    unused = (
        "NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datname = {} "
        "AND a.backend_type = 'client backend') ORDER BY 1"
    )
    databases = fetch_all(
        conn,
        "SELECT d.datname::text FROM pg_catalog.pg_database d WHERE starts_with(d.datname, %s) AND "
        + unused.format("d.datname"),
        [PREFIX],
    )
    roles = fetch_all(
        conn,
        "SELECT r.rolname::text FROM pg_catalog.pg_roles r "
        "CROSS JOIN LATERAL (VALUES (pg_catalog.shobj_description(r.oid, 'pg_authid'))) AS s(said) "
        "WHERE starts_with(s.said, %s) AND " + unused.format("substr(s.said, length(%s) + 1)"),
        [OF_ROLE, OF_ROLE],
    )
    return [
        *(
            f"Nobody is connected to {name}: a rehearsal that was killed left it. DROP DATABASE {name} WITH (FORCE);"
            for (name,) in databases
        ),
        *(
            f"A rehearsal that was killed left the role {name}. DROP ROLE {sql.Identifier(name).as_string(conn)};"
            for (name,) in roles
        ),
    ]


def _create(conn: Connection, made: Place, around: Surroundings) -> None:
    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(made.database))
    same = fetch_value(
        conn,
        "SELECT pg_catalog.pg_encoding_to_char(encoding) = %s FROM pg_catalog.pg_database WHERE datname = 'template0'",
        [around.encoding],
    )
    if not same:
        create += sql.SQL(" ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C'").format(sql.Literal(around.encoding))
        if made.postgres >= 150_000:
            create += sql.SQL(" LOCALE_PROVIDER libc")
    execute(conn, create)
    execute(
        conn,
        sql.SQL(
            "COMMENT ON DATABASE {} IS 'made by hyperferry rehearse for one run; nobody''s data is in it'"
        ).format(sql.Identifier(made.database)),
    )


def _remove(made: Place, say: Say) -> None:
    """On a server of our own nothing needs to go first: it goes as a whole."""
    if made.own_server:
        return
    names = sql.SQL(", ").join(map(sql.Identifier, made.roles))
    try:
        with connect(made.server_dsn, purpose="rehearse") as conn:
            execute(
                conn, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(made.database))
            )
            if made.roles:
                execute(conn, sql.SQL("DROP ROLE IF EXISTS {}").format(names))
    except (HyperferryError, psycopg.Error) as error:
        with suppress(Exception):
            say(
                f"The rehearsal's database could not be dropped ({str(error).splitlines()[0]}). On the server of --in: "
                f"DROP DATABASE {made.database} WITH (FORCE);"
                + (f" DROP ROLE {names.as_string(None)};" if made.roles else "")
            )
