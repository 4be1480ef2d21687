"""What must be true of the application's table after the swap, asked of the server as anybody would."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from hyperferry.db import connect, fetch_value
from hyperferry.words import count, plural

from .place import Place


def application_checks(where: Place) -> Iterator[tuple[str, bool, str]]:
    """(what, whether it holds, how that was seen) for the name, the view, the grants and the sequence."""
    with connect(where.dsn, purpose="demo") as conn:
        chunks = fetch_value(
            conn,
            "SELECT num_chunks FROM timescaledb_information.hypertables "
            "WHERE hypertable_schema = 'public' AND hypertable_name = 'player_stats'",
        )
        yield "player_stats is a hypertable", chunks is not None, plural(int(chunks or 0), "chunk")
        viewed = fetch_value(
            conn, "SELECT sum(entries) = (SELECT count(*) FROM public.player_stats) FROM public.player_totals"
        )
        yield "the view reads it", bool(viewed), "as many entries as rows, in one snapshot"
    with psycopg.connect(where.application_dsn, autocommit=True) as application:
        row = application.execute(
            "INSERT INTO player_stats (player_id, game_id, stat_type, value, game_date) "
            "VALUES (1, 1, 'own', 1, now()) RETURNING id"
        ).fetchone()
        again = row is not None and application.execute(
            "SELECT count(*) FROM player_stats WHERE id = %s", [row[0]]
        ).fetchone() == (1,)
        yield (
            "the grants and the sequence work",
            again,
            f"{where.role} inserted row {count(row[0] if row else 0)}",
        )
        try:
            application.execute("SELECT 1 FROM hyperferry.rollouts")
        except psycopg.errors.InsufficientPrivilege:
            yield (
                "the application's role has no rights on the ledger",
                True,
                "permission denied, as it should be",
            )
        except psycopg.Error as error:
            yield "the application's role has no rights on the ledger", True, str(error).splitlines()[0]
        else:
            yield "the application's role has no rights on the ledger", False, "it could read it"
