"""What the application knows of its database."""

from __future__ import annotations

from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from hyperferry.flag import described

from .database import Database

TABLE = "player_stats"

VERSIONS = text(
    "SELECT current_setting('server_version') AS postgres, "
    "(SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescaledb, "
    "current_setting('timescaledb.license', true) AS license"
)
HYPERTABLE = text(
    "SELECT EXISTS (SELECT FROM timescaledb_information.hypertables "
    "WHERE hypertable_schema = current_schema() AND hypertable_name = :table)"
)
# to_regclass would fail where the role may not look into the schema.
LEDGER = text(
    "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') "
    "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = 'hyperferry' AND c.relname = 'rollout'"
)
PHASE = text(
    "SELECT phase FROM hyperferry.rollout WHERE source_schema = current_schema() AND source_name = :table "
    "ORDER BY id DESC LIMIT 1"
)
DAILY = text("SELECT to_regclass('player_stats_daily') IS NOT NULL")


async def db_health(database: Database) -> dict[str, Any]:
    """The server's versions, what player_stats is (`table`, `hypertable`), its rollout's phase (None: there is none, or this role
    may not see it), the flag, how many statements of this process read the rollout's other side, and the migrations' revision.
    On SQLite what there is to say. Raises what the driver raises where the database is away."""
    async with database.engine.connect() as connection:
        found = (
            await _of_server(connection) if database.dialect == "postgresql" else await _of_sqlite(connection)
        )
        return {
            **found,
            "use_hypertables": described(database.use_hypertables.share),
            "reads_of_other_side": database.reads.routed if database.reads is not None else 0,
            "revision": await connection.run_sync(_revision),
        }


async def has_daily(database: Database) -> bool:
    """Whether there is the continuous aggregate."""
    if database.dialect != "postgresql":
        return False
    async with database.engine.connect() as connection:
        return bool(await connection.scalar(DAILY))


async def _of_server(connection: AsyncConnection) -> dict[str, Any]:
    versions = (await connection.execute(VERSIONS)).one()
    named = {"table": TABLE}
    hypertable = versions.timescaledb is not None and await connection.scalar(HYPERTABLE, named)
    readable = await connection.scalar(LEDGER)
    return {
        "database": "postgresql",
        "version": versions.postgres.split()[0],
        "timescaledb": versions.timescaledb,
        "edition": None if versions.timescaledb is None else _edition(versions.license),
        TABLE: "hypertable" if hypertable else "table",
        "rollout": await connection.scalar(PHASE, named) if readable else None,
    }


def _edition(licence: str | None) -> str:
    return "apache" if licence == "apache" else "community"


async def _of_sqlite(connection: AsyncConnection) -> dict[str, Any]:
    return {
        "database": "sqlite",
        "version": await connection.scalar(text("SELECT sqlite_version()")),
        "timescaledb": None,
        "edition": None,
        TABLE: "table",
        "rollout": None,
    }


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
