"""What is ours is nobody else's, whatever ALTER DEFAULT PRIVILEGES says."""

from __future__ import annotations

from enum import Enum

from psycopg import sql

from ..db import load_queries
from ..model.statement import Statement

_TAG = "$hyperferry$"


def schema_lock(step: str = "ledger") -> Statement:
    """To be executed before a GRANT or REVOKE on the ledger's schema: rollouts of several tables may begin and end at once."""
    return Statement(
        step, "nobody else changes the schema's rights in this moment", load_queries(__package__, "rights.sql")["schema_lock"]
    )


class Kind(Enum):
    """A kind of object: the word in REVOKE, its catalog, the columns of its rights and its owner, how its name is read."""

    TABLE = ("TABLE", "pg_class", "relacl", "relowner", "regclass")
    SEQUENCE = ("SEQUENCE", "pg_class", "relacl", "relowner", "regclass")
    SCHEMA = ("SCHEMA", "pg_namespace", "nspacl", "nspowner", "regnamespace")
    FUNCTION = ("FUNCTION", "pg_proc", "proacl", "proowner", "regprocedure")


def owner_alone(kind: Kind, quoted: str, *, step: str = "ledger") -> Statement:
    """Nobody but its owner has a right on the new object `quoted` (a function with its parentheses)."""
    word, table, acl, owner, reader = kind.value
    body = load_queries(__package__, "rights.sql")["owner_alone"].format(
        catalog=sql.SQL(table),
        acl=sql.SQL(acl),
        owner=sql.SQL(owner),
        kind=sql.SQL(reader),
        word=sql.Literal(word),
        object=sql.Literal(quoted),
    )
    # A name could end the dollar quotes.
    text: sql.Composable = (
        sql.Literal(body.as_string(None))
        if _TAG in quoted
        else sql.SQL("{}\n{}\n{}").format(sql.SQL(_TAG), body, sql.SQL(_TAG))
    )
    return Statement(
        step, f"nothing that ALTER DEFAULT PRIVILEGES gave on {quoted}", sql.SQL("DO {}").format(text)
    )
