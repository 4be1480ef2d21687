"""The flag's setting in the database, as `hyperferry flag` shows and changes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg

from .. import db
from ..db.connection import Connection
from ..errors import Refused, Usage
from .flag import NAME
from .share import described, parse

EVERYBODY = ""


@dataclass(frozen=True)
class Setting:
    """What is set for one role, or for everybody (`role` is '')."""

    name: str
    role: str
    share: float
    set_at: datetime
    set_by: str

    @property
    def text(self) -> str:
        """on, off or the percentage."""
        return described(self.share)


def settings(dsn: str, *, name: str = NAME) -> tuple[Setting, ...]:
    """What is set, for everybody first. Changes nothing."""
    with db.connect(dsn, purpose="flag") as conn:
        return _all(conn, name)


def put(dsn: str, text: str, *, role: str = EVERYBODY, name: str = NAME) -> tuple[Setting, ...]:
    """Sets the flag to `on`, `off` or a percentage; all that is set then.

    Raises Usage for another text, Refused for a role that is not there, or where the connected role may not.
    """
    try:
        share = parse(text)
    except ValueError as error:
        raise Usage(
            f"{error}.", remedy="hyperferry flag on, hyperferry flag off, or hyperferry flag 25%."
        ) from None
    queries = db.load_queries(__package__, "setting.sql")
    with db.connect(dsn, purpose="flag") as conn:
        if role and not db.fetch_value(conn, queries["is_role"], {"role": role}):
            raise Refused(
                f"There is no role {role}.", remedy="name the role that the application connects as."
            )
        try:
            with conn.transaction():
                if not db.fetch_value(conn, queries["exists"]):
                    db.execute(conn, queries["make"])
                db.execute(conn, queries["put"], {"name": name, "role": role, "share": round(share, 2)})
        except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateObject):  # two made it at once
            db.execute(conn, queries["put"], {"name": name, "role": role, "share": round(share, 2)})
        except psycopg.errors.InsufficientPrivilege as error:
            raise _may_not(error) from None
        return _all(conn, name)


def take(dsn: str, *, role: str = EVERYBODY, name: str = NAME) -> tuple[Setting, ...]:
    """Removes what is set for the role or for everybody; what is left."""
    queries = db.load_queries(__package__, "setting.sql")
    with db.connect(dsn, purpose="flag") as conn:
        if db.fetch_value(conn, queries["exists"]):
            try:
                db.execute(conn, queries["take"], {"name": name, "role": role})
            except psycopg.errors.InsufficientPrivilege as error:
                raise _may_not(error) from None
        return _all(conn, name)


def _all(conn: Connection, name: str) -> tuple[Setting, ...]:
    queries = db.load_queries(__package__, "setting.sql")
    if not db.fetch_value(conn, queries["exists"]):
        return ()
    return tuple(Setting(*row) for row in db.fetch_all(conn, queries["all"], {"name": name}))


def _may_not(error: psycopg.Error) -> Refused:
    return Refused(
        "The connected role may not set the flag.",
        facts={"server said": error.diag.message_primary or str(error)},
        remedy="connect as who set it first, or as the database's owner (who may make the schema hyperferry_flag); or give the "
        "role what it lacks: GRANT INSERT, UPDATE, DELETE ON hyperferry_flag.setting TO ...",
    )
