"""What a database holds: its tables before a revision, and its whole schema as comparable text."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from hyperferry.config import plain_dsn
from hyperferry.db import connect, execute, fetch_all, fetch_value, load_queries
from hyperferry.errors import Failed, Interrupted
from hyperferry.model.names import TableName
from hyperferry.rehearsal import programs
from hyperferry.rehearsal.compare import objects

from .client import interrupted
from .options import Table

_NUMBERS = re.compile(r"(_hypertable_|watermark\(|trigger\(')\d+")
"""The numbers that TimescaleDB gives to hypertables: another one each time."""

Schema = dict[str, str]
"""Objects by kind and name, each with its SQL."""


@dataclass(frozen=True)
class Tools:
    """PostgreSQL's own programs, and what ends them."""

    found: programs.Programs
    stop: threading.Event

    def run(self, name: str, arguments: list[str], dsn: str) -> programs.Done:
        """Runs one of them on that database."""
        env, at = programs.connection(dsn)
        env["PGAPPNAME"] = "hyperferry check-migrations"
        try:
            return programs.run(self.found, name, [*arguments, f"--dbname={at}"], env, stop=self.stop)
        except Interrupted:
            raise interrupted() from None
        except OSError as error:
            raise Failed(
                f"The program {name} cannot be run.",
                facts={"folder": self.found.folder, "reason": error.strerror},
                remedy="install PostgreSQL's client programs, and have them in PATH.",
            ) from None

    def schema(self, dsn: str) -> Schema:
        """Everything that a revision can have made in that database. Raises Failed."""
        done = self.run("pg_dump", ["--schema-only", "--exclude-schema=_timescaledb*"], dsn)
        if done.code != 0:
            raise Failed(
                "pg_dump could not read a database of this check.",
                facts={"pg_dump said": done.error.strip()},
                remedy="remove the cause named, then run the same command again.",
            )
        found = {
            name: _ordered(name, body) for name, body in objects(_NUMBERS.sub(r"\1N", done.output)).items()
        }
        queries = load_queries(__package__, "state.sql")
        with connect(dsn, purpose="check-migrations") as conn:
            if fetch_value(conn, queries["extended"]):
                found |= {
                    _NUMBERS.sub(r"\1N", name): _NUMBERS.sub(r"\1N", text)
                    for name, text in fetch_all(conn, queries["parts"])
                }
        return found


def _ordered(name: str, body: str) -> str:
    """A table's columns by name: one that was dropped and comes back stands last, and nothing can be done about that."""
    if not name.startswith("table "):
        return body
    return "\n".join(sorted(line.rstrip(",") for line in body.splitlines()))


def tables(dsn: str) -> dict[int, Table]:
    """The tables that are there, by their oids."""
    queries = load_queries(__package__, "state.sql")
    with connect(dsn, purpose="check-migrations") as conn:
        hyper = (
            set(fetch_all(conn, queries["hypertables"])) if fetch_value(conn, queries["extended"]) else set()
        )
        return {
            oid: Table(oid, TableName(schema, name), root, (schema, name) in hyper)
            for oid, schema, name, root in fetch_all(conn, queries["tables"])
        }


def is_there(dsn: str, name: str, schema: str | None) -> bool:
    """Whether that database has a table of this name."""
    with connect(dsn, purpose="check-migrations") as conn:
        return bool(
            fetch_value(
                conn, load_queries(__package__, "state.sql")["there"], {"name": name, "schema": schema}
            )
        )


def sizes_from(dsn: str) -> list[tuple[TableName, int]]:
    """How many rows the tables of that database have, by its statistics: one query, in a session that cannot write."""
    with connect(plain_dsn(dsn), purpose="check-migrations sizes") as conn:
        execute(conn, "SET default_transaction_read_only = on")
        rows = fetch_all(conn, load_queries(__package__, "state.sql")["sizes"])
    return [(TableName(schema, name), many) for schema, name, many in rows]
