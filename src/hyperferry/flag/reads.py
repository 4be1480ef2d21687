"""What lets an application's role read a rollout's other side (hyperferry.sqlalchemy), as `hyperferry reads` gives it."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from .. import db
from ..claim import open_rollout
from ..db.connection import Connection
from ..errors import Refused
from ..ledger.rights import Kind, owner_alone
from ..model.names import TableName
from ..model.plan import Strategy
from ..model.rollout import Rollout

SCHEMA = "hyperferry_reads"
_FUNCTIONS = {"rollout": "text, text", "stands": "bigint", "hold": "text, text, text, bigint, text"}


@dataclass(frozen=True)
class Allowed:
    """What a role may do now."""

    table: TableName
    role: str
    rollout: int
    phase: str
    schemas: tuple[str, ...]


def allow(dsn: str, table: str, role: str) -> Allowed:
    """Lets `role` see where the table's rollout stands, and into the two schemas in which the table takes its turns. Can be
    done again; goes with the rollout, but for the functions in the schema hyperferry_reads.

    Raises Refused where there is no such rollout or role, or where the connected role may not.
    """
    queries = db.load_queries(__package__, "reads.sql")
    with db.connect(dsn, purpose="reads") as conn:
        if not db.fetch_value(conn, queries["is_role"], {"role": role}):
            raise Refused(
                f"There is no role {role}.", remedy="name the role that the application connects as."
            )
        rollout = open_rollout(conn, table)
        if rollout.plan.strategy is not Strategy.BLUE_GREEN:
            raise Refused(
                f"The rollout of {rollout.table} is done in place: there is no other side to read.",
                remedy="nothing: applications read the table itself.",
            )
        if not db.fetch_value(conn, queries["may_select"], {"role": role, "oid": rollout.source_oid}):
            raise Refused(
                f"{role} may not read {rollout.table}.",
                remedy="grant SELECT on the whole table, and on the hypertable beside it, which got its rights when it was made.",
            )
        schemas = (rollout.names.new_schema, rollout.names.old_schema)
        try:
            with conn.transaction():
                _make(conn)
                _grant(conn, role, schemas)
        except psycopg.errors.InsufficientPrivilege as error:
            raise _may_not(rollout, error.diag.message_primary or str(error)) from None
        return Allowed(rollout.table, role, rollout.id, rollout.phase.value, schemas)


def _make(conn: Connection) -> None:
    queries = db.load_queries(__package__, "reads.sql")
    found = db.fetch_one(conn, queries["state"])
    if found is None:
        db.execute(conn, queries["make_schema"])
        db.execute(conn, owner_alone(Kind.SCHEMA, SCHEMA).sql)
    elif not found[1]:
        raise Refused(
            f"The schema {SCHEMA} of this database is {found[0]}'s, and not this role's to use.",
            remedy=f"connect as {found[0]}, or become its member. If {found[0]} is not who you expect, look into it first.",
        )
    for name in _FUNCTIONS:
        db.execute(conn, queries[f"make_{name}"])
    if found is None:  # later, it would take away what others were given
        for name, arguments in _FUNCTIONS.items():
            db.execute(conn, owner_alone(Kind.FUNCTION, f"{SCHEMA}.{name}({arguments})").sql)
        db.execute(  # what everybody has by default stands in no list of rights
            conn,
            sql.SQL("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {} FROM PUBLIC").format(sql.Identifier(SCHEMA)),
        )


def _grant(conn: Connection, role: str, schemas: tuple[str, ...]) -> None:
    for schema in (SCHEMA, *schemas):
        db.execute(
            conn,
            sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), sql.Identifier(role)),
        )
    db.execute(
        conn,
        sql.SQL("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {} TO {}").format(
            sql.Identifier(SCHEMA), sql.Identifier(role)
        ),
    )


def _may_not(rollout: Rollout, said: str) -> Refused:
    return Refused(
        f"The connected role may not let others read the other side of {rollout.table}.",
        facts={"server said": said},
        remedy="connect as the role that runs the rollout.",
    )
