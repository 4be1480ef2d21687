"""From the text that a user typed to one relation."""

from __future__ import annotations

import psycopg

from ..db import fetch_all, fetch_one, fetch_value, load_queries
from ..db.connection import Connection
from ..errors import Usage
from ..model.names import TableName, quote_ident


def resolve_table(conn: Connection, text: str) -> tuple[int, TableName]:
    """The OID and the exact name of the relation that `text` means, read as SQL reads a name.

    An unqualified name is looked for in the user's own search_path (what the role, the database or
    PGOPTIONS set, not the one that our session pins). Raises Usage, with names that may have been meant,
    when there is none.
    """
    parts = parse_name(conn, text)
    for schema in [parts[0]] if len(parts) == 2 else user_schemas(conn):
        row = fetch_one(conn, _query("find"), {"schema": schema, "name": parts[-1]})
        if row is not None:
            return int(row[0]), TableName(row[1], row[2])
    raise _not_found(conn, text, parts)


def user_schemas(conn: Connection) -> list[str]:
    """The schemas of the user's own search_path that exist, in order."""
    with conn.transaction(force_rollback=True):
        fetch_value(conn, _query("search_path"))
        return list(fetch_value(conn, _query("schemas")) or [])


def _query(name: str) -> psycopg.sql.SQL:
    return load_queries(__package__, "resolve.sql")[name]


def name_of(conn: Connection, oid: int) -> TableName | None:
    """What the relation is called now; None where there is none of that OID any more."""
    row = fetch_one(conn, _query("name_of"), {"oid": oid})
    return None if row is None else TableName(row[0], row[1])


def is_there(conn: Connection, name: TableName) -> bool:
    """Whether a relation has exactly this name."""
    return fetch_one(conn, _query("find"), {"schema": name.schema, "name": name.name}) is not None


def parse_name(conn: Connection, text: str) -> list[str]:
    """Schema and name, or the name alone. Raises Usage for a text that is no name."""
    remedy = 'write it as SQL does: name, schema.name, or "Quoted Schema"."Quoted Name".'
    try:
        parts = [str(part) for part in fetch_value(conn, _query("parse"), {"text": text})]
    except psycopg.errors.DataError as error:
        raise Usage(
            f"{text!r} is not the name of a table.",
            facts={"server said": error.diag.message_primary or str(error)},
            remedy=remedy,
        ) from None
    database = conn.info.dbname
    if len(parts) == 3 and parts[0] == database:
        return parts[1:]
    if len(parts) > 2:
        raise Usage(
            f"{text!r} has {len(parts)} parts.",
            facts={"parts": ", ".join(quote_ident(part) for part in parts), "database": database},
            remedy=remedy,
        )
    return parts


def _not_found(conn: Connection, text: str, parts: list[str]) -> Usage:
    near = [row[0] for row in fetch_all(conn, _query("near"), {"name": parts[-1], "text": text})]
    facts: dict[str, object] = {"database": conn.info.dbname}
    if len(parts) == 2:
        facts["schema"] = quote_ident(parts[0])
    else:
        facts["searched"] = ", ".join(quote_ident(schema) for schema in user_schemas(conn)) or "no schema"
    facts["name"] = quote_ident(parts[-1])
    if near:
        facts["near names"] = ", ".join(near)
    return Usage(
        f"There is no table {text}.",
        facts=facts,
        remedy="give the table with its schema, in double quotes where it has capitals or signs: "
        + (near[0] if near else 'schema.name or "Schema"."Name"')
        + ".",
    )
