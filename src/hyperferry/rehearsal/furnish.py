"""Furnishes the rehearsal's database with what is in no schema dump: roles, extensions, settings, rights on the database."""

from __future__ import annotations

import psycopg
from psycopg import sql

from hyperferry.db import connect, execute, fetch_all, fetch_value
from hyperferry.db.connection import Connection
from hyperferry.model.statement import fragment

from .place import OF_ROLE, Place
from .surroundings import Extension, Role, Surroundings

REACHES_OUT = frozenset(
    {
        "aws_commons", "aws_lambda", "aws_s3", "dblink", "file_fdw", "http", "pg_background", "pg_cron", "pg_net", "pgagent",
        "pgmq", "pgsql_http", "pljavau", "plperlu", "plpython2u", "plpython3u", "plpythonu", "plr", "plsh", "pltclu",
    }
)  # fmt: skip
"""Extensions with which a trigger could do something outside its database. They are left out: a rehearsal's rows are made up."""


def furnish(made: Place, around: Surroundings) -> list[str]:
    """Makes roles, extensions, tablespaces, settings and rights. Gives what could not be made, a sentence each."""
    with connect(made.dsn, purpose="rehearse") as conn:
        warnings = _roles(conn, made, around)
        warnings += _database(conn, made, around)
        warnings += _extensions(conn, around.extensions)
        warnings += _tablespaces(conn, made, around)
        warnings += _settings(conn, made, around)
    return warnings


def runner(made: Place, around: Surroundings) -> tuple[str, list[str]]:
    """The connection string for the job itself: as the role that the real job has, where that can be."""
    as_role = made.as_role(around.role)
    try:
        with connect(as_role, purpose="rehearse") as conn:
            superuser = fetch_value(
                conn, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
            )
    except Exception as error:
        return made.dsn, [
            f"The job could not be rehearsed as {around.role}, so rights were not: {str(error).splitlines()[0]}"
        ]
    real = next((role for role in around.roles if role.name == around.role), None)
    if real is not None and bool(superuser) != real.superuser:
        return as_role, [
            f"{around.role} is {'a' if superuser else 'no'} superuser on the server of the rehearsal, and "
            f"{'none' if superuser else 'one'} on the real one: rights were not rehearsed faithfully."
        ]
    return as_role, []


def _roles(conn: Connection, made: Place, around: Surroundings) -> list[str]:
    warnings: list[str] = []
    there = {row[0] for row in fetch_all(conn, "SELECT rolname::text FROM pg_catalog.pg_roles")}
    for role in around.roles:
        if role.name in there:
            continue
        name = sql.Identifier(role.name)
        attributes = [word for word, wanted in _attributes(role) if wanted]
        for wanted in (attributes, []):
            create = sql.SQL("CREATE ROLE {} NOLOGIN {} ").format(
                name, sql.SQL("INHERIT" if role.inherit else "NOINHERIT")
            )
            try:
                execute(conn, create + sql.SQL(" ").join(map(fragment, wanted)))
            except psycopg.Error as error:
                last = error
                continue
            made.roles.append(role.name)
            if not made.own_server:  # who finds it after a kill is told what it is
                _try(conn, sql.SQL("COMMENT ON ROLE {} IS {}").format(name, sql.Literal(OF_ROLE + made.database)))
            if wanted != attributes:
                warnings.append(f"The role {role.name} was made without {', '.join(attributes)}.")
            break
        else:
            warnings.append(f"The role {role.name} is not there and could not be made: {_said(last)}")
            continue
        if not made.superuser:
            _try(conn, sql.SQL("GRANT {} TO CURRENT_USER").format(name))
    there |= set(made.roles)
    for each in around.memberships:
        if each.member not in made.roles or each.role not in there:
            continue
        grant = sql.SQL("GRANT {} TO {}").format(sql.Identifier(each.role), sql.Identifier(each.member))
        if made.postgres >= 160_000:
            grant += sql.SQL(" WITH INHERIT {}, ADMIN {}").format(
                sql.Literal(each.inherit), sql.Literal(each.admin)
            )
        elif each.admin:
            grant += sql.SQL(" WITH ADMIN OPTION")
        if problem := _try(conn, grant):
            warnings.append(f"{each.member} could not be made a member of {each.role}: {problem}")
    return warnings


def _attributes(role: Role) -> list[tuple[str, bool]]:
    return [
        ("SUPERUSER", role.superuser),
        ("CREATEDB", role.createdb),
        ("CREATEROLE", role.createrole),
        ("BYPASSRLS", role.bypassrls),
    ]


def _database(conn: Connection, made: Place, around: Surroundings) -> list[str]:
    warnings: list[str] = []
    name = sql.Identifier(made.database)
    execute(conn, sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    for each in around.grants:
        grantee = sql.Identifier(each.grantee) if each.grantee else sql.SQL("PUBLIC")
        grant = sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
            fragment(each.privilege),
            name,
            grantee,
            sql.SQL(" WITH GRANT OPTION" if each.grantable and each.grantee else ""),
        )
        if problem := _try(conn, grant):
            warnings.append(
                f"{each.privilege} on the database could not be granted to {each.grantee or 'PUBLIC'}: {problem}"
            )
    owner = sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(around.owner))
    if problem := _try(conn, owner):
        warnings.append(f"The database could not be given to its owner {around.owner}: {problem}")
    return warnings


def _extensions(conn: Connection, wanted: tuple[Extension, ...]) -> list[str]:
    warnings: list[str] = []
    there = dict(
        fetch_all(
            conn,
            "SELECT name::text, pg_catalog.array_agg(version::text) FROM pg_catalog.pg_available_extension_versions GROUP BY 1",
        )
    )
    for each in wanted:
        if each.name in REACHES_OUT:
            warnings.append(
                f"The extension {each.name} reaches beyond its database, so it was left out: what uses it was not rehearsed."
            )
            continue
        if each.name not in there:
            warnings.append(
                f"The extension {each.name} {each.version} is not on the server of the rehearsal: what uses it was not rehearsed."
            )
            continue
        _try(conn, sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(each.schema)))
        create = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {}").format(
            sql.Identifier(each.name), sql.Identifier(each.schema)
        )
        same = each.version in there[each.name]
        if same:
            create += sql.SQL(" VERSION {}").format(sql.Literal(each.version))
        if problem := _try(conn, create):
            warnings.append(f"The extension {each.name} could not be created: {problem}")
        elif not same and each.name != "timescaledb":
            warnings.append(
                f"The extension {each.name} is {each.version} on the real server; "
                f"the rehearsal has {', '.join(there[each.name])}."
            )
    return warnings


def _tablespaces(conn: Connection, made: Place, around: Surroundings) -> list[str]:
    there = {row[0] for row in fetch_all(conn, "SELECT spcname::text FROM pg_catalog.pg_tablespace")}
    missing = [name for name in around.tablespaces if name not in there]
    if made.own_server and made.postgres >= 150_000:
        execute(conn, "SET allow_in_place_tablespaces = on")
        missing = [
            name
            for name in missing
            if _try(conn, sql.SQL("CREATE TABLESPACE {} LOCATION ''").format(sql.Identifier(name)))
        ]
        for name in around.tablespaces:
            _try(conn, sql.SQL("GRANT CREATE ON TABLESPACE {} TO PUBLIC").format(sql.Identifier(name)))
    return [f"The tablespace {name} is not on the server of the rehearsal." for name in missing]


def _settings(conn: Connection, made: Place, around: Surroundings) -> list[str]:
    """Each as the server itself writes it down: a list such as a search_path is no string."""
    warnings: list[str] = []
    for each in sorted(around.settings, key=lambda setting: setting.in_database):
        try:
            with conn.transaction():
                execute(conn, "SELECT pg_catalog.set_config(%s, %s, true)", [each.name, each.value])
                execute(
                    conn,
                    sql.SQL("ALTER DATABASE {} SET {} FROM CURRENT").format(
                        sql.Identifier(made.database),
                        sql.SQL(".").join(map(sql.Identifier, each.name.split("."))),
                    ),
                )
        except psycopg.Error as error:
            warnings.append(f"The setting {each.name} = {each.value} could not be taken over: {_said(error)}")
    return warnings


def _try(conn: Connection, statement: sql.Composable) -> str | None:
    """What the server said against it, None where it was done."""
    try:
        execute(conn, statement)
    except psycopg.Error as error:
        return _said(error)
    return None


def _said(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error)
