"""What stands around a table and is in no schema dump: roles, extensions, settings, limits, the database's own rights."""

from __future__ import annotations

from dataclasses import dataclass

from hyperferry.catalog.records import records
from hyperferry.db import fetch_all, fetch_value, load_queries
from hyperferry.db.connection import Connection

SETTINGS = [
    "array_nulls", "backslash_quote", "bytea_output", "check_function_bodies", "createrole_self_grant", "datestyle",
    "deadlock_timeout", "default_table_access_method", "default_toast_compression", "default_transaction_isolation",
    "escape_string_warning", "event_triggers", "extra_float_digits", "idle_in_transaction_session_timeout",
    "intervalstyle", "lock_timeout", "plpgsql.extra_errors", "plpgsql.variable_conflict", "quote_all_identifiers",
    "row_security", "search_path", "session_replication_role", "standard_conforming_strings", "statement_timeout",
    "synchronize_seqscans", "timezone", "transaction_timeout", "transform_null_equals", "xmlbinary", "xmloption",
]  # fmt: skip
"""Settings of a server that decide what a statement does, or whether it fails. (What a database sets is taken whole.)"""


@dataclass(frozen=True)
class Role:
    """A role that something in the database names. Passwords and the right to log in are not taken along."""

    name: str
    superuser: bool
    inherit: bool
    createdb: bool
    createrole: bool
    bypassrls: bool


@dataclass(frozen=True)
class Membership:
    """`member` is a member of `role`."""

    role: str
    member: str
    admin: bool
    inherit: bool


@dataclass(frozen=True)
class Extension:
    """An extension that is created in the database."""

    name: str
    schema: str
    version: str


@dataclass(frozen=True)
class Setting:
    """A setting for all sessions; `in_database`: set for this database, not for the whole server."""

    name: str
    value: str
    in_database: bool


@dataclass(frozen=True)
class DatabaseGrant:
    """A privilege on the database; '' is PUBLIC."""

    grantee: str
    privilege: str
    grantable: bool


@dataclass(frozen=True)
class Surroundings:
    """All of it. `unreadable` are tables (quoted names) that our role may not read; `limits` are the server's, by name."""

    database: str
    encoding: str
    owner: str
    search_path: str
    role: str
    grants: tuple[DatabaseGrant, ...]
    roles: tuple[Role, ...]
    memberships: tuple[Membership, ...]
    extensions: tuple[Extension, ...]
    settings: tuple[Setting, ...]
    limits: dict[str, int]
    unreadable: tuple[tuple[str, str], ...]
    tablespaces: tuple[str, ...]


def read_surroundings(conn: Connection, oid: int) -> Surroundings:
    """Everything around the table of that OID. Reads catalogs only, in one read-only transaction."""
    queries = load_queries(__package__, "surroundings.sql")
    with conn.transaction():
        conn.execute("SET TRANSACTION READ ONLY")
        database = records(conn, queries["database"])[0]
        roles = tuple(Role(**row) for row in records(conn, queries["roles"]))
        names = {role.name for role in roles}
        return Surroundings(
            database=str(database["name"]),
            encoding=str(database["encoding"]),
            owner=str(database["owner"]),
            search_path=str(database["search_path"]),
            role=str(fetch_value(conn, "SELECT current_user::text")),
            grants=tuple(DatabaseGrant(**row) for row in records(conn, queries["database_grants"])),
            roles=roles,
            memberships=tuple(
                each
                for row in records(conn, queries["memberships"])
                if (each := Membership(**row)).member in names
            ),
            extensions=tuple(Extension(**row) for row in records(conn, queries["extensions"])),
            settings=tuple(Setting(**row) for row in records(conn, queries["settings"], {"names": SETTINGS})),
            limits={name: int(value) for name, value in fetch_all(conn, queries["limits"])},
            unreadable=tuple(
                (row[0], row[1]) for row in fetch_all(conn, queries["unreadable"], {"oid": oid})
            ),
            tablespaces=tuple(row[0] for row in fetch_all(conn, queries["tablespaces"])),
        )
